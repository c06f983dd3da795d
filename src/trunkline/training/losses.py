"""Losses by name, of scores as a network gives them: logits, never probabilities.

Each is the mean over rows; a class's weight averages 1 over the classes as they occur in training, so parts of a
batch add up to the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch.nn import functional

from trunkline.training.settings import LoopSettings

Tensor: TypeAlias = Any
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # (scores (n, k), target) -> a number

OF_LINK = {"softmax": "cross_entropy", "logistic": "binary", "labels": "binary", "identity": "mse"}
FITS = {
    "softmax": ("cross_entropy", "focal"), "logistic": ("binary", "focal"), "labels": ("binary", "focal"), "identity": ("mse", "huber"),
}  # fmt: skip


def loss_of(settings: LoopSettings, link: str, weights: Tensor | None = None) -> Loss:
    """The loss for scores of that link (`heads.links`). weights: float32 (k,) of classes or labels, for `logistic` (2,).

    Raises ValueError for a loss that can't learn such answers.
    """
    name = OF_LINK[link] if settings.loss == "auto" else settings.loss
    if name not in FITS[link]:
        raise ValueError(f"the loss {name!r} can't learn this answer; it may be {' | '.join(FITS[link])}")
    gamma = settings.focal if name == "focal" else 0.0
    if link == "identity":
        return lambda scores, target: squared(scores[:, 0], target, settings.delta if name == "huber" else None)
    if link == "softmax":
        return lambda scores, target: cross_entropy(scores, target, settings.smoothing, weights, gamma)
    return lambda scores, target: binary(scores, target, settings.smoothing, weights, gamma)


def cross_entropy(
    logits: Tensor, target: Tensor, smoothing: float = 0.0, weights: Tensor | None = None, gamma: float = 0.0
) -> Tensor:
    """logits (n, k), target int64 (n,). smoothing: Szegedy et al. 2016. gamma > 0: focal (Lin et al. 2017), a row's
    loss times (1 - p of its class) ** gamma."""
    each = functional.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
    if gamma:
        own = functional.log_softmax(logits, 1).gather(1, target[:, None])[:, 0].exp()
        each = each * (1 - own) ** gamma
    return (each if weights is None else each * weights.to(each)[target]).mean()


def binary(
    logits: Tensor, target: Tensor, smoothing: float = 0.0, weights: Tensor | None = None, gamma: float = 0.0
) -> Tensor:
    """logits (n, 1) with target (n,) of 0 and 1, or (n, k) independent labels. weights: (2,) of no and yes, or (k,) of
    the labels' yes."""
    wanted = target.reshape(logits.shape).to(logits.dtype)
    soft = wanted * (1 - smoothing) + smoothing / 2
    each = functional.binary_cross_entropy_with_logits(logits, soft, reduction="none")
    if gamma:
        each = each * torch.sigmoid((1 - 2 * wanted) * logits) ** gamma
    if weights is not None:
        one, weights = target.ndim == 1, weights.to(each)
        each = each * (weights[target.long()][:, None] if one else torch.where(wanted > 0, weights, 1.0))
    return each.mean()


def squared(values: Tensor, target: Tensor, delta: float | None = None) -> Tensor:
    """Mean squared error of (n,); with `delta` Huber's loss (1964): half the square up to delta, straight beyond."""
    wanted = target.to(values.dtype)
    if delta is None:
        return functional.mse_loss(values, wanted)
    return functional.huber_loss(values, wanted, delta=delta)


def contrastive(vectors: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2), of rows that have
    another one of their class in the batch, 0 without any.

    vectors (n, dim), of any length; target int64 (n,). A row's loss is the mean, over the others of its class, of
    -log(exp(c / t) / sum of exp(c / t) over all other rows), c = cosine.
    """
    unit = functional.normalize(vectors.float(), dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    shares = functional.log_softmax((unit @ unit.T / temperature).masked_fill(itself, float("-inf")), dim=1)
    alike = (target[:, None] == target[None]) & ~itself
    fellows = alike.sum(dim=1)
    each = -shares.masked_fill(~alike, 0).sum(dim=1) / fellows.clamp(min=1)
    return each.sum() / (fellows > 0).sum().clamp(min=1)


def taught(scores: Tensor, teacher: Tensor, link: str, temperature: float) -> Tensor:
    """How far scores (n, k) lie from a teacher's, before the link: T squared times the divergence KL(teacher || student) of
    both at temperature T (Hinton et al. 2015, https://arxiv.org/abs/1503.02531), of each label for `labels` and `logistic`;
    for `identity` the squared error. The mean over rows and labels."""
    if link == "identity":
        return functional.mse_loss(scores, teacher.to(scores))
    mine, theirs = scores / temperature, teacher.to(scores) / temperature
    if link != "softmax":  # yes and no of each label
        mine, theirs = (torch.stack([each, torch.zeros_like(each)], -1).flatten(0, -2) for each in (mine, theirs))
    logs = functional.log_softmax(theirs, -1)
    return temperature**2 * (logs.exp() * (logs - functional.log_softmax(mine, -1))).sum(-1).mean()


def balanced(counts: Tensor) -> Tensor:
    """(k,) weights by which classes of `counts` rows weigh alike; over all rows they average 1."""
    known = counts.clamp(min=1).float()
    return counts.sum() / (known * (counts > 0).sum())

"""Batch norm over the rows of all processes. torch.nn.SyncBatchNorm does so on GPUs only, and counts every process's rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

Tensor: TypeAlias = Any


class Share:
    """counts: whether the rows that go through just now are this process's; a borrowed row counts nothing."""

    counts = True


@contextmanager
def synced(module: nn.Module, share: Share) -> Iterator[None]:
    """While it lasts, `module`'s batch norms see the rows of all processes."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    group = dist.new_group() if norms else None  # of its own: gradients travel meanwhile
    for norm in norms:
        norm.forward = partial(_forward, norm, share, group)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


class _Sum(torch.autograd.Function):
    """Over all processes, there and back: each one's loss has its part in the gradient."""

    @staticmethod
    def forward(context: Any, group: Any, own: Tensor) -> Tensor:
        context.group, whole = group, own.clone()
        dist.all_reduce(whole, group=group)
        return whole

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        whole = gradients[0].clone()
        dist.all_reduce(whole, group=context.group)
        return None, whole


_sum: Any = _Sum.apply


def _forward(norm: Any, share: Share, group: Any, x: Tensor) -> Tensor:
    """As `_BatchNorm.forward`: mean and variance of (n, channels, ...) over all but the channels, of all processes' rows
    put together by Chan et al. 1979."""
    if not norm.training:
        return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
    dims = [0, *range(2, x.ndim)]
    wide = x.float()
    own = torch.cat([wide.new_full((1,), x.numel() / x.shape[1] * share.counts), wide.mean(dims), wide.var(dims, unbiased=False)])
    place = functional.one_hot(torch.tensor(dist.get_rank(), device=x.device), dist.get_world_size())
    counts, means, variances = _sum(group, place[:, None] * own).split([1, x.shape[1], x.shape[1]], 1)
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    variance = (counts * (variances + (means - mean) ** 2)).sum(0) / count
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1).clamp(min=1), norm.momentum)
    shape = [1, -1, *[1] * (x.ndim - 2)]
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return ((wide - mean.view(shape)) * scale.view(shape) + norm.bias.view(shape)).to(x.dtype)

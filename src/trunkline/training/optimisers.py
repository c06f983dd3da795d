"""Optimisers by name, and how the rate goes over the steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from trunkline.training.settings import LoopSettings


def optimiser_of(module: Any, settings: LoopSettings, faster: Mapping[str, float] = {}) -> Any:
    """Of the parameters that learn. Weights of one axis (biases, norms) don't decay, as is usual since GPT-2.
    faster: beginning of a parameter's name -> how many times the rate it learns at (a group's "times")."""
    sets: dict[tuple[float, bool], list[Any]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            times = next((found for begin, found in faster.items() if name.startswith(begin)), 1.0)
            sets.setdefault((times, parameter.ndim > 1), []).append(parameter)
    groups = [
        {"params": members, "weight_decay": settings.l2 if matrix else 0.0, "times": times}
        for (times, matrix), members in sorted(sets.items(), key=lambda pair: (pair[0][0], not pair[0][1]))
    ]
    rate, momentum = settings.rate, settings.momentum
    makers: dict[str, Callable[[], Any]] = {
        "sgd": lambda: torch.optim.SGD(groups, rate),
        "momentum": lambda: torch.optim.SGD(groups, rate, momentum=momentum),
        "adagrad": lambda: torch.optim.Adagrad(groups, rate),
        "rmsprop": lambda: torch.optim.RMSprop(groups, rate, momentum=momentum),
        "adam": lambda: torch.optim.Adam(groups, rate),
        "adamw": lambda: torch.optim.AdamW(groups, rate),
    }
    return makers[settings.optimiser]()


def rate_at(step: int, steps: int, settings: LoopSettings) -> float:
    """The rate of a step from 0: straight up over `warmup`, then half a cosine down to 0 (Loshchilov, Hutter 2017)."""
    warm = round(settings.warmup * steps)
    if step < warm:
        return settings.rate * (step + 1) / warm
    if settings.schedule == "constant":
        return settings.rate
    return settings.rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

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


class _Normed(torch.autograd.Function):
    """(n, channels, ...) by mean and variance of all processes' rows, put together by Chan et al. 1979; its gradient as in
    Ioffe and Szegedy 2015. The passes over x are torch's own kernels, the sums between processes are two a layer.

    Gives the output, and what the running figures are made of: mean, variance and count over all processes.
    """

    @staticmethod
    def forward(context: Any, group: Any, counts: bool, eps: float, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        mean, variance = torch.batch_norm_update_stats(x, None, None, 0.0)  # four times as fast as torch.var_mean
        own = torch.cat([mean.new_full((1,), x.numel() / x.shape[1] * counts), mean, variance])
        every: Tensor = own.new_zeros(dist.get_world_size(), len(own))
        every[dist.get_rank()] = own
        dist.all_reduce(every, group=group)
        numbers, means, variances = every.split([1, x.shape[1], x.shape[1]], 1)
        count = numbers.sum()
        mean = (numbers * means).sum(0) / count
        variance = (numbers * (variances + (means - mean) ** 2)).sum(0) / count
        context.save_for_backward(x, weight, mean, variance, count)
        context.group, context.counts, context.eps = group, counts, eps
        context.mark_non_differentiable(mean, variance, count)
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps), mean, variance, count

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = context.saved_tensors
        above = gradients[0].contiguous()
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            above, x, weight, mean, variance, None, None, False, context.eps, [False, True, True]
        )
        whole = torch.stack([of_weight, of_bias]).float()
        dist.all_reduce(whole, group=context.group)
        scale = (variance + context.eps).rsqrt()
        slope = -weight * scale**2 * whole[0] / count * context.counts  # a borrowed row has no part in mean and variance
        shift = -weight * scale * whole[1] / count * context.counts - slope * mean
        shape = [1, -1, *[1] * (x.ndim - 2)]
        of_x = torch.addcmul(shift.view(shape), above.float(), (weight * scale).view(shape)).addcmul_(x.float(), slope.view(shape))
        return None, None, None, of_x.to(x.dtype), of_weight, of_bias


_normed: Any = _Normed.apply


def _forward(norm: Any, share: Share, group: Any, x: Tensor) -> Tensor:
    """As `_BatchNorm.forward`."""
    if not norm.training:
        return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
    out, mean, variance, count = _normed(group, share.counts, norm.eps, x, norm.weight, norm.bias)
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1).clamp(min=1), norm.momentum)
    return out

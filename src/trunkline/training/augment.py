"""Augmentation: rows changed as their answers don't mind, drawn from the step's own random numbers.

Words are dropped in `methods.text_networks`; here are pictures and sounds.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.nn import functional

Tensor: TypeAlias = Any


def moved(pixels: Tensor, rng: np.random.Generator, degrees: float = 10.0, shift: float = 0.08, scale: float = 0.1) -> Tensor:
    """Each of float (n, channels, h, w) turned, shifted (a share of its size) and scaled a little, with black around."""
    n = len(pixels)
    angle = rng.uniform(-degrees, degrees, n) * math.pi / 180
    size = 1 + rng.uniform(-scale, scale, n)
    cos, sin = np.cos(angle) * size, np.sin(angle) * size
    dx, dy = rng.uniform(-2 * shift, 2 * shift, (2, n))
    matrix = torch.from_numpy(np.stack([np.stack([cos, -sin, dx], 1), np.stack([sin, cos, dy], 1)], 1).astype(np.float32))
    grid = functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, align_corners=False)


def flipped(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of them left to right."""
    chosen = torch.from_numpy(rng.random(len(pixels)) < 0.5)[:, None, None, None]
    return torch.where(chosen, pixels.flip(3), pixels)


def cropped(pixels: Tensor, rng: np.random.Generator, edge: int) -> Tensor:
    """As large as before, cut at random from the picture with `edge` black places around it."""
    n, _, height, width = pixels.shape
    wide = functional.pad(pixels, (edge,) * 4)
    at = rng.integers(0, 2 * edge + 1, (n, 2)).tolist()
    return torch.stack([one[:, y : y + height, x : x + width] for one, (y, x) in zip(wide, at, strict=True)])


def varied(pixels: Tensor, rng: np.random.Generator, strength: float = 0.3) -> Tensor:
    """RandAugment's idea (Cubuk et al. 2020), one of its changes a picture: brightness, contrast, colours turned over,
    or a block blotted out; 0..255."""
    n, _, height, width = pixels.shape
    out, kind = pixels.clone(), rng.integers(0, 4, n)
    amount = rng.uniform(-strength, strength, n)
    for at in range(n):
        one, by = out[at], float(amount[at])
        if kind[at] == 0:
            one.add_(255 * by)
        elif kind[at] == 1:
            one.sub_(one.mean()).mul_(1 + by).add_(pixels[at].mean())
        elif kind[at] == 2:
            torch.where(one > 255 * (1 - abs(by)), 255 - one, one, out=one)  # solarize
        else:
            y, x = int(rng.integers(height)), int(rng.integers(width))
            one[:, y : y + max(1, height // 4), x : x + max(1, width // 4)] = 127.5
    return out.clamp_(0, 255)


def noisy(mels: Tensor, rng: np.random.Generator, deviation: float = 0.1) -> Tensor:
    """Log-mel (n, frames, mels) with normal noise."""
    return mels + torch.from_numpy(rng.normal(0, deviation, tuple(mels.shape)).astype(np.float32))


def spoken(mels: Tensor, rng: np.random.Generator, pace: float = 0.15, height: int = 2) -> Tensor:
    """One sound (frames, bands) a little slower or faster, and its bands moved up or down, as another voice says it: a
    cheap form of vocal tract length perturbation (Jaitly, Hinton 2013)."""
    frames, bands = mels.shape
    long = max(1, round(frames * (1 + rng.uniform(-pace, pace))))
    paced = functional.interpolate(mels.T[None], size=long, mode="linear")[0].T
    from_band = np.clip(np.arange(bands) - int(rng.integers(-height, height + 1)), 0, bands - 1)
    return paced[:, torch.from_numpy(from_band)]


def masked(mels: Tensor, rng: np.random.Generator, frames: int = 10, bands: int = 8) -> Tensor:
    """SpecAugment (Park et al. 2019) without warping: up to so many frames, of a short sound a fifth, and bands of each
    sound are its mean."""
    out = mels.clone()
    for one in out:
        mean = one.mean()
        long, wide = int(rng.integers(0, min(frames, len(one) // 5) + 1)), int(rng.integers(0, bands + 1))
        at, band = int(rng.integers(0, max(1, len(one) - long + 1))), int(rng.integers(0, max(1, one.shape[1] - wide + 1)))
        one[at : at + long] = mean
        one[:, band : band + wide] = mean
    return out

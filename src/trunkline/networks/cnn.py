"""A convolutional network for images: pairs of small convolutions, then half the places (Simonyan, Zisserman 2015), with
batch norm (Ioffe, Szegedy 2015) and the mean over all places before the last layer (Lin et al. 2014). `base` adds residual paths (He et al. 2016).
"""

from __future__ import annotations

from torch import nn

from trunkline.networks.parts import ACTIVATIONS, Activation, Initial, Tensor, initialise

PRESETS = {"small": {"widths": (24, 48, 96), "blocks": 0}, "base": {"widths": (64, 128, 256), "blocks": 1}}


class ImageCnn(nn.Module):
    """Pixels (n, channels, height, width) of 0..255, any number type -> logits (n, outputs)."""

    def __init__(
        self, channels: int, outputs: int, size: str = "small", dropout: float = 0.2,
        activation: Activation = "relu", initial: Initial = "he",
    ) -> None:  # fmt: skip
        super().__init__()
        widths: tuple[int, ...] = PRESETS[size]["widths"]  # type: ignore[assignment]
        parts: list[nn.Module] = []
        for before, after in zip((channels, *widths), widths, strict=False):
            parts += [*step(before, after, activation), *step(after, after, activation), nn.MaxPool2d(2, ceil_mode=True)]
            parts += [Residual(after, activation) for _ in range(int(PRESETS[size]["blocks"]))]  # type: ignore[call-overload]
        self.body, self.drop = nn.Sequential(*parts), nn.Dropout(dropout)
        self.out = nn.Linear(widths[-1], outputs)
        initialise(self, initial)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.out(self.drop(self.places(pixels).mean((2, 3))))

    def places(self, pixels: Tensor) -> Tensor:
        """-> (n, width, places, places) of the last convolution: an eighth of height and width, rounded up."""
        return self.body((pixels.to(self.out.weight.dtype) - 127.5) / 64)


class Residual(nn.Module):
    """act(x + two convolutions of x)."""

    def __init__(self, width: int, activation: Activation) -> None:
        super().__init__()
        conv, norm, act = step(width, width, activation)
        self.inner = nn.Sequential(conv, norm, act, *step(width, width, activation)[:2])
        self.act = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.inner(x))


def step(before: int, after: int, activation: Activation) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A convolution of 3 x 3 places; the norm's shift makes its bias needless."""
    return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), ACTIVATIONS[activation]()

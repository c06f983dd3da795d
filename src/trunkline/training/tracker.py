"""Where a training's figures go besides the terminal: TensorBoard event files, or wandb without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from trunkline.errors import MissingExtra


class Tracker(Protocol):
    """Told every epoch's figures."""

    def scalar(self, name: str, value: float, step: int) -> None: ...

    def close(self) -> None: ...


class Untracked:
    def scalar(self, name: str, value: float, step: int) -> None:
        pass

    def close(self) -> None:
        pass


class TensorBoard:
    """Event files in `folder`, flushed at every figure so that a killed training has its curves."""

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise MissingExtra("tensorboardX", "train") from None
        self._writer: Any = SummaryWriter(str(folder))

    def scalar(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class Wandb:
    """Offline runs below `folder`; `wandb sync` sends them if their owner wishes. wandb is in no extra: it is large."""

    def __init__(self, folder: Path) -> None:
        try:
            import wandb
        except ImportError:
            raise MissingExtra("wandb (pip install wandb)", "train") from None
        folder.mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(mode="offline", dir=str(folder), reinit=True)

    def scalar(self, name: str, value: float, step: int) -> None:
        self._run.log({name: value}, step=step)

    def close(self) -> None:
        self._run.finish()


def tracker_of(name: str, folder: Path) -> Tracker:
    """Raises MissingExtra."""
    if name == "tensorboard":
        return TensorBoard(folder)
    return Wandb(folder) if name == "wandb" else Untracked()

"""What a search of settings found, as tune.json has it and the report shows it."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from trunkline.types import Estimate

FORMAT = 1
AS_IT_IS = 0  # the trial that is the product as its product.toml has it


class Choice(Struct, frozen=True):
    """What is tried: as [method] name and settings and [trunks] of product.toml would say it."""

    method: str
    settings: dict[str, Any] = {}
    trunks: dict[str, str] = {}


class Tried(Struct, frozen=True):
    """value: the primary metric out of fold on the training rows, None unless done. why: what ended it early."""

    number: int
    choice: Choice
    state: Literal["done", "pruned", "failed"]
    value: float | None = None
    seconds: float = 0.0
    why: str = ""


class Tuned(Struct, frozen=True):
    """search: digest of everything that decides the trials. gain: paired difference of the best over the product as it
    was, measured again on other folds by another seed, more is better; None where nothing was better. importance: of
    what was searched, summing to 1; {} where too few trials tell. seconds: of all trials together."""

    search: str
    metric: str
    unit: str
    higher_is_better: bool
    rows: int
    trials: tuple[Tried, ...]
    best: int
    importance: dict[str, float]
    gain: Estimate | None
    seconds: float
    format: int = FORMAT

    def trial(self, number: int) -> Tried:
        return next(trial for trial in self.trials if trial.number == number)

    @property
    def ranked(self) -> list[Tried]:
        """Those that were done, the best first."""
        sign = -1 if self.higher_is_better else 1
        done = [trial for trial in self.trials if trial.value is not None]
        return sorted(done, key=lambda trial: (sign * (trial.value or 0.0), trial.number))

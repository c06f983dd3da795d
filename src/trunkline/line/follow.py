"""What the processes beside the first one do in a training: learn networks with it, each from its own rows. They write nothing."""

from __future__ import annotations

from trunkline.data.read import read_examples
from trunkline.desk import Desk
from trunkline.errors import TrunklineError
from trunkline.features import Features
from trunkline.line.train import Line, without_leaks
from trunkline.methods import METHODS
from trunkline.methods.onnx import own_networks
from trunkline.training import parallel
from trunkline.types import Ask, Examples, Folds


def follow(line: Line) -> None:
    """Learn by every method that the first process calls, until it needs no more. Rows are read at the first call: the first
    process has recorded the split by then."""
    rows: tuple[Examples, Folds, Ask] | None = None
    while name := parallel.called():
        try:
            rows = rows or _rows(line)
            parallel.met(name)
            METHODS.get(name)().fit(line.spec, *rows)
        except parallel.Followed:
            continue
        except parallel.Ended:
            break
        except parallel.OneFailed:
            raise
        except TrunklineError:  # the first process has met it too, or hears of it when it wants to learn
            continue
    parallel.leave()


def _rows(line: Line) -> tuple[Examples, Folds, Ask]:
    rows = without_leaks(read_examples(line.spec, line.task, line.folder)).train
    desk = Desk(Features(writes=False))
    return rows, line.task.folds(rows, line.spec.method.folds, line.spec.seed), desk.ask(own=own_networks(line.spec, line.folder))

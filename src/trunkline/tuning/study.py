"""What was tried, on disk: an Optuna study in SQLite, which Optuna's own tools open too.

A trial is written once, whole, when it has ended: one that was killed half-way has left nothing and is run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trunkline import __version__
from trunkline.desk import Desk
from trunkline.errors import DataError
from trunkline.spec import Spec, dump_spec
from trunkline.tuning.space import METHOD, Space
from trunkline.tuning.trial import KEPT, Direction, Outcome, frozen, quiet

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FILE = "study.db"
FEWEST = 10  # trials, from which importance says anything
UNREAD = ("title", "gate", "rollout", "keep")  # keys that no trial depends on


class Study:
    """One search below `folder`; another search of the same product, with other rows or ranges, has another name."""

    def __init__(self, folder: Path, name: str, direction: Direction) -> None:
        self.file, self.name = folder / FILE, name
        with quiet(), self._telling():
            import optuna

            storage = optuna.storages.RDBStorage(f"sqlite:///{self.file}")
            self._study: Any = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)

    def outcomes(self) -> dict[int, Outcome]:
        """By number. Raises DataError where the file is no record of a search."""
        found = {}
        with self._telling():
            trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            try:
                outcome = _outcome(trial)
            except (KeyError, msgspec.DecodeError) as error:
                raise self._damaged(f"trial {trial.number}: {error}") from error
            found[outcome.number] = outcome
        return found

    def add(self, space: Space, outcome: Outcome) -> None:
        """Raises DataError where it can't be written; what was there stays."""
        with quiet(), self._telling():
            self._study.add_trial(frozen(space, outcome))

    def importance(self, method: str, seed: int) -> dict[str, float]:
        """How much of what this method's trials differ by each setting tells (functional ANOVA, Hutter et al. 2014), most
        first, summing to 1; {} where too few were done or all came out alike."""
        with quiet():
            import optuna

            done = self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
            told = ((_outcome(trial), trial) for trial in done if trial.params)
            numbered = {outcome.number: trial for outcome, trial in told if outcome.choice.method == method}
            own = [trial for _, trial in sorted(numbered.items())]  # not as they ended, which another run would do otherwise
            if len(own) < FEWEST or len({trial.value for trial in own}) < 2:
                return {}
            apart = optuna.create_study(direction=self._study.direction)
            apart.add_trials(own)
            names = [name for name, values in own[0].distributions.items() if name != METHOD and not values.single()]
            how = optuna.importance.FanovaImportanceEvaluator(seed=seed)
            found = optuna.importance.get_param_importances(apart, evaluator=how, params=names)
        ranked = sorted(found.items(), key=lambda each: (-each[1], each[0]))
        return {name.removeprefix(f"{method}."): round(float(share), 4) for name, share in ranked}

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """The database's own errors as one of ours: a record that is damaged is another thing than a disk that is full."""
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import OperationalError, SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
            told = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
            if not isinstance(told, OperationalError):
                raise self._damaged(str(told)) from error
            raise DataError(
                "the record of the search can't be opened or written", where=str(self.file), found=str(told.orig),
                hint="free some space, or check the folder's permissions; the trials that had ended are kept",
            ) from error  # fmt: skip

    def _damaged(self, found: str) -> DataError:
        return DataError(
            "the record of the search can't be read", where=str(self.file), found=found.splitlines()[0][:200],
            hint="move it away to search anew",
        )  # fmt: skip


def _outcome(trial: FrozenTrial) -> Outcome:
    return msgspec.json.decode(trial.user_attrs[KEPT], type=Outcome)


def search_of(spec: Spec, space: Space, rows: str, desk: Desk, ahead: int) -> str:
    """Digest of everything that decides the trials, their number apart."""
    told = {key: value for key, value in dump_spec(spec).items() if key not in UNREAD}
    told["tune"] = {key: value for key, value in told["tune"].items() if key not in ("trials", "seconds")}
    cards = {card.id: card.fingerprint for card in desk.cards(spec)}
    for kind, names in space.trunks.items():
        for name in names:
            cards |= {card.id: card.fingerprint for card in desk.cards(msgspec.structs.replace(spec, trunks={**spec.trunks, kind: name}))}
    parts = [__version__, told, msgspec.to_builtins([space.methods, space.ranges, space.fixed]), cards, rows, ahead]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

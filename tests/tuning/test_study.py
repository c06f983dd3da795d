"""The record of a search on disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from trunkline.proof.tuned import Choice
from trunkline.spec import Range
from trunkline.tuning.space import Space
from trunkline.tuning.study import Study
from trunkline.tuning.trial import Outcome

ROOT = Path(__file__).parents[2]

FULL = """
import resource, sys
from pathlib import Path
from trunkline.errors import DataError
from trunkline.proof.tuned import Choice
from trunkline.spec import Range
from trunkline.tuning.space import Space
from trunkline.tuning.study import Study
from trunkline.tuning.trial import Outcome

folder = Path(sys.argv[1])
study, space = Study(folder, "s", "maximize"), Space(("m",), {"m": {"x": Range(0.0, 1.0)}}, {}, {"m": {}})
resource.setrlimit(resource.RLIMIT_FSIZE, (study.file.stat().st_size + 8192, resource.RLIM_INFINITY))
try:
    for number in range(500):
        study.add(space, Outcome(number, Choice("m", {"x": 0.5}), "done", 0.5, params={"m.x": 0.5}))
except DataError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(sorted(Study(folder, "s", "maximize").outcomes()) == list(range(number)), number > 0)
"""


def test_a_full_disk_is_told_and_keeps_the_trials_that_had_ended(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, cwd=ROOT / "src", timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    told, *rest, kept = done.stdout.splitlines()
    assert told == "the record of the search can't be opened or written"
    assert "free some space" in rest[-1]
    assert kept == "True True"


def test_importance_is_the_same_whichever_trial_ended_first(tmp_path: Path) -> None:
    space = Space(("m",), {"m": {"x": Range(0.0, 1.0), "y": Range(0.0, 1.0)}}, {}, {"m": {}})
    at = np.random.default_rng(0).random((16, 2)).round(3).tolist()
    tried = [Outcome(n, Choice("m", {"x": x, "y": y}), "done", round(x * x + y / 4, 4), params={"m.x": x, "m.y": y}) for n, (x, y) in enumerate(at, 1)]
    found = []
    for name, order in (("one", tried), ("other", [*tried[8:], *tried[:8][::-1]])):
        (tmp_path / name).mkdir()
        study = Study(tmp_path / name, "s", "maximize")
        for outcome in order:
            study.add(space, outcome)
        found.append(study.importance("m", 0))
    assert found[0] == found[1]
    assert next(iter(found[0])) == "x"

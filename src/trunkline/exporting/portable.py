"""`trunkline export --for`: a folder with one ONNX file, product.json and example rows, run and compared before it is there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

import trunkline
from trunkline.bundle import Bundle
from trunkline.desk import Desk
from trunkline.engines.ort import OrtSession
from trunkline.errors import BundleError
from trunkline.exporting import on_trunk, own_network
from trunkline.exporting.graph import finished, onnx_package, operators, opsets
from trunkline.exporting.needs import (
    EXAMPLES,
    FORMAT,
    MODEL,
    NEEDS,
    Also,
    Check,
    Example,
    Needs,
    Network,
    Output,
)
from trunkline.exporting.operators import check_operators
from trunkline.exporting.ort_format import OrtFormat, to_ort
from trunkline.exporting.plan import Feed, Plan, cannot
from trunkline.exporting.rows import answered, example_rows
from trunkline.files import atomic_folder, digest_file
from trunkline.heads.linear import LinearHead
from trunkline.heads.mlp import MlpHead
from trunkline.heads.onnx import OnnxHead
from trunkline.inputs.row import RowReader
from trunkline.types import Refused

Target = Literal["phone", "browser"]
TARGETS: tuple[Target, ...] = ("phone", "browser")
METHODS = "linear or mlp on a trunk, lstm, cnn1d, transformer, cnn, table_mlp, finetune, lora"
# How outputs become an answer: the tasks' `decode` in words, for whoever writes it in another language.
RULES: dict[str, tuple[str, ...]] = {
    "classify": (
        "probabilities are calibrated already: decision.temperature is in the network",
        "outside > decision.outside_above, where there is one: status out_of_scope, no label",
        "the label is the most probable, ties to the first; with decision.costs the one of least sum(probability * costs[of that row][label])",
        "its probability < decision.abstain_below: status abstained, no label",
    ),
    "multilabel": (
        "decision.thresholds are in the network: a label is given from 0.5 on",
        "outside > decision.outside_above, where there is one: status out_of_scope, no labels",
    ),
    "regress": (
        "low and high are value - decision.residual and value + decision.residual",
        "outside > decision.outside_above, where there is one: status out_of_scope, no value",
    ),
}


class Runs(Protocol):
    """A file of the network in memory."""

    def run(self, arrays: Feed) -> list[NDArray[Any]]:
        """All outputs, the probabilities (or the value) first."""
        ...


def export_for(bundle: Bundle, target: Target, folder: Path, desk: Desk) -> Needs:
    """Write a folder that must not exist yet, whole or not at all; what its product.json says.

    Raises BundleError for a product that can't be exported, for an operator that the target's runtime lacks, and where
    the file doesn't answer as the bundle does; MissingExtra; TrunklineError for a folder that is taken.
    """
    plan = planned(bundle)
    with atomic_folder(folder) as place:
        outputs = _ends(plan, bundle)
        check_operators(plan.tail.model, target)
        onnx_package().save(plan.tail.model, str(place / MODEL))
        runs: dict[str, Runs] = {MODEL: OrtSession(place / MODEL)}
        if target == "phone":
            other = to_ort(place / MODEL)
            runs[other.name] = OrtFormat(other)
        for name, content in {**plan.files, **_page(target)}.items():
            (place / name).write_bytes(content)
        checks = _checked(bundle, plan, place, runs, desk)
        needs = _needs(bundle, plan, target, outputs, checks, place)
        (place / NEEDS).write_bytes(msgspec.json.format(msgspec.json.encode(needs), indent=1) + b"\n")
    return needs


def planned(bundle: Bundle) -> Plan:
    """Raises BundleError with the reason for a product that can't be exported."""
    if bundle.spec.task not in RULES:
        raise cannot(bundle, f"the task {bundle.spec.task} answers with parts of a text", f"only {', '.join(RULES)} can be exported")
    head = bundle.head()
    if isinstance(head, OnnxHead):
        return own_network.plan(bundle, head)
    if isinstance(head, LinearHead | MlpHead):
        return on_trunk.plan(bundle, head)
    raise cannot(bundle, f"the head {head.format} is no graph", f"name a method in product.toml whose head is one: {METHODS}")


def _page(target: Target) -> dict[str, bytes]:
    """What a browser runs: its files by name."""
    if target != "browser":
        return {}
    return {path.name: path.read_bytes() for path in (files("trunkline.exporting") / "web").iterdir() if path.is_file()}


def _ends(plan: Plan, bundle: Bundle) -> tuple[Output, ...]:
    """The graph's outputs, added to it."""
    tail, regress = plan.tail, bundle.spec.task == "regress"
    ends = {"value" if regress else "probabilities": finished(tail, plan.values, bundle.decision)}
    if plan.outside and bundle.decision.outside_above is not None:
        ends["outside"] = plan.outside
    outputs = []
    for name, value in ends.items():
        shape = ("rows", len(bundle.labels)) if name == "probabilities" else ("rows",)
        tail.give(value, name, shape)
        outputs.append(Output(name, shape))
    return tuple(outputs)


def _checked(bundle: Bundle, plan: Plan, place: Path, runs: Mapping[str, Runs], desk: Desk) -> dict[str, Check]:
    """Writes EXAMPLES; of each file what was found. Raises BundleError where a file's probabilities differ from the
    bundle's by more than the plan allows."""
    reader, examples, worst = RowReader(bundle.spec.inputs), [], dict.fromkeys(runs, 0.0)
    ask, head = desk.ask_uncached(bundle.engines), bundle.head()
    for row in example_rows(bundle, plan):
        values = reader.read(row)
        if isinstance(values, Refused):
            continue
        answer, feed = answered(bundle, values, ask), plan.feed(next(head.run([values]))[0])
        for name, session in runs.items():
            worst[name] = max(worst[name], _distance(session.run(feed)[0][0], answer))
        examples.append(Example(dict(row), {name: array[0].tolist() for name, array in feed.items() if array.size < 5_000}, answer))
    for name, found in worst.items():
        if not examples or found > plan.tolerance:
            raise BundleError(
                "the exported network doesn't answer as the bundle does", where=f"{bundle.name} {bundle.version}, {name}",
                found=f"a difference of {found:.2g} in {len(examples)} rows", wanted=f"at most {plan.tolerance:g}",
            )  # fmt: skip
    (place / EXAMPLES).write_bytes(msgspec.json.format(msgspec.json.encode(examples), indent=1) + b"\n")
    return {name: Check(EXAMPLES, len(examples), found, plan.tolerance) for name, found in worst.items()}


def _distance(given: NDArray[Any], answer: Mapping[str, Any]) -> float:
    """Of probabilities, or of a value over 1 + its size; infinite where there is none."""
    if "scores" in answer:
        found = np.abs(given - np.array(list(answer["scores"].values())))
    else:
        found = np.abs(given - answer["value"]) / (1 + abs(answer["value"]))
    return float(np.max(found)) if np.isfinite(found).all() else math.inf


def _needs(bundle: Bundle, plan: Plan, target: Target, outputs: tuple[Output, ...], checks: Mapping[str, Check], place: Path) -> Needs:
    model, manifest = plan.tail.model, bundle.manifest
    content = (place / MODEL).read_bytes()
    kept = {name: digest_file(place / name) for name in sorted(path.name for path in place.iterdir())}
    network = Network(MODEL, len(content), kept[MODEL], opsets(model), operators(model), f"onnxruntime {version('onnxruntime')}")
    check = max(checks.values(), key=lambda each: each.largest_difference)
    also = [Also(name, "ort", (place / name).stat().st_size, each.largest_difference) for name, each in checks.items() if name != MODEL]
    return Needs(
        format=FORMAT, product=bundle.name, version=bundle.version, task=bundle.spec.task, method=manifest.method, made_for=target,
        trunkline=trunkline.__version__, created=manifest.created, answers=manifest.digest.answers, licence=plan.licence, network=network, also=tuple(also),
        reads=plan.reads, outputs=outputs, labels=bundle.labels, decision=bundle.decision, rule=RULES[bundle.spec.task], check=check, files=kept,
    )  # fmt: skip

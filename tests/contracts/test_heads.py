"""What every head promises, those of other packages included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from tests.contracts.products import able, learned, products
from tests.methods.texts import ask

from trunkline.errors import BundleError
from trunkline.heads import HEADS
from trunkline.program import one
from trunkline.types import Head, Prediction, Refused

LEARNED = {(method, product): learned(method, product) for method, product in able() if not product.startswith("scratch")}
MADE = {
    f"{method}, {product}": (found.head, product)
    for (method, product), found in LEARNED.items()
    if not isinstance(found, Refused) and not found.networks
}
CASES = sorted(MADE)


def rows_of(product: str) -> list[dict[str, object]]:
    """Training rows, and rows with cells that training never had."""
    rows = [dict(row) for row in products()[product].examples.inputs[:12]]
    strange = {"text": "漢字 🙂 ٣ unknown", "note": "", "size": float("nan"), "shop": "never seen", "question": "who?", "context": "谁 🙂. Nobody"}
    return [*rows, {name: strange.get(name, cell) for name, cell in rows[0].items()}, {**rows[0], **({"size": 1e30} if "size" in rows[0] else {})}]


def bits(prediction: Prediction) -> list[bytes]:
    outside = prediction.outside if prediction.outside is not None else np.zeros(len(prediction.values))
    if prediction.values.dtype == object:
        return [repr(value).encode() for value in prediction.values]
    pairs = zip(np.atleast_1d(prediction.values), outside, strict=True)
    return [np.asarray(v).tobytes() + np.asarray(o).tobytes() for v, o in pairs]


def test_every_format_is_made_by_some_method() -> None:
    assert {head.format for head, _ in MADE.values()} == set(HEADS.names())


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_row_has_the_same_answer_alone_and_in_any_batch(case: str, data: st.DataObject) -> None:
    head, product = MADE[case]
    rows = rows_of(product)
    alone = [bits(one(head.run([row]), ask))[0] for row in rows]
    picked = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=40))
    assert bits(one(head.run([rows[i] for i in picked]), ask)) == [alone[i] for i in picked]


@pytest.mark.parametrize("case", CASES)
def test_a_head_survives_json_and_safetensors(case: str, tmp_path: Path) -> None:
    head, product = MADE[case]
    meta, arrays = head.save()
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, tmp_path / "head.safetensors")
    meta = msgspec.json.decode(msgspec.json.encode(meta))
    again = HEADS.get(head.format).load(meta, load_file(tmp_path / "head.safetensors"))
    rows = rows_of(product)
    assert bits(one(again.run(rows), ask)) == bits(one(head.run(rows), ask))


def one_of_each() -> list[Head]:
    return [next(head for head, _ in MADE.values() if head.format == name) for name in HEADS.names()]


@pytest.mark.parametrize("head", one_of_each(), ids=HEADS.names())
def test_a_head_with_a_part_missing_is_refused(head: Head) -> None:
    meta, arrays = head.save()
    load = HEADS.get(head.format).load
    with pytest.raises(BundleError):
        load({}, {})
    refused = 0
    for name in arrays:
        try:
            load(meta, {k: v for k, v in arrays.items() if k != name})
        except BundleError:
            refused += 1
    assert refused == len(arrays) or head.format in OPTIONAL
    if head.format not in ("constant", "no_spans"):  # any number of values is a constant; the other has none
        largest = max(arrays, key=lambda name: arrays[name].nbytes)
        with pytest.raises(BundleError):
            load(meta, {**arrays, largest: arrays[largest][:-1]})


OPTIONAL = ("linear", "mlp")  # landmarks may be there or not; all of them or none


def test_heads_load_nothing_of_training() -> None:
    code = (
        "import sys\nfrom trunkline.heads import HEADS\n"
        "for name in HEADS.names():\n    HEADS.get(name)\n"
        "print([m for m in ('sklearn', 'scipy', 'lightgbm', 'torch', 'trunkline.methods') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"

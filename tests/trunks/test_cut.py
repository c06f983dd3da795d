"""Adapted trunks in another precision than the trunk's, and cut ones: fewer layers, heads, inner columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.berts import bert_folder
from tests.trunks.test_adapted import lora, parts_of, vectors

from trunkline.engines import processor
from trunkline.errors import BundleError, TrunkError
from trunkline.trunks import find
from trunkline.trunks.adapted import RECORD, Adapted, adapted
from trunkline.trunks.bert_graph import LINEARS
from trunkline.types import Call

TEXTS = ["the room was clean", "card", "where is my refund of last month please", "房间 很 干净", "no", "a b c d e f g h i j k l m n o"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def base(tmp_path: Path) -> str:
    return f"folder:{bert_folder(tmp_path / 'bert')}"


def whole(base: str, heads: tuple[int, ...] = (0, 1), inner: int = 32) -> dict[str, Any]:
    """Every tensor of the tiny BERT's layer, some heads of 8 and some inner columns of it."""
    parts, found = parts_of(base), {}
    at = np.concatenate([np.arange(8 * head, 8 * head + 8) for head in heads])
    for part in (*LINEARS, "attention.output.LayerNorm", "output.LayerNorm"):
        for what in ("weight", "bias"):
            found[f"encoder.layer.0.{part}.{what}"] = np.array(parts.weight(f"encoder.layer.0.{part}.{what}"))
    for part in ("query", "key", "value"):
        for what in ("weight", "bias"):
            found[f"encoder.layer.0.attention.self.{part}.{what}"] = found[f"encoder.layer.0.attention.self.{part}.{what}"][at]
    found["encoder.layer.0.attention.output.dense.weight"] = found["encoder.layer.0.attention.output.dense.weight"][:, at]
    for what in ("weight", "bias"):
        found[f"encoder.layer.0.intermediate.dense.{what}"] = found[f"encoder.layer.0.intermediate.dense.{what}"][:inner]
    found["encoder.layer.0.output.dense.weight"] = found["encoder.layer.0.output.dense.weight"][:, :inner]
    return found


def bf16_here() -> bool:
    return bool(processor.flags() & {"avx512_bf16", "amx_bf16"})


@pytest.mark.parametrize("precision", ["w8-dq32", "w8-dq128", "bf16", "f32"])
@pytest.mark.parametrize("kind", ["full", "lora", "cut"])
def test_a_row_has_the_same_bits_alone_and_in_any_batch(kind: Any, precision: str, base: str, tmp_path: Path) -> None:
    if precision == "bf16" and not bf16_here():
        pytest.skip("this processor has no bfloat16")
    if precision.startswith("w8") and processor.groups_of_int8() is False:
        pytest.skip("this processor has no int8 groups")
    arrays = lora(parts_of(base), 2) if kind == "lora" else {name: 1.1 * array for name, array in whole(base, (1,), 16 if kind == "cut" else 32).items()}
    if kind == "full":
        arrays = {name: 1.1 * array for name, array in whole(base).items()}
    engine = adapted(base, kind, arrays, tmp_path, precision).load()
    assert engine.card.precision == precision
    alone = np.concatenate([vectors(engine, [text]) for text in TEXTS])
    for order in (TEXTS, TEXTS[::-1]):
        found = vectors(engine, order)
        assert (found if order is TEXTS else found[::-1]).tobytes() == alone.tobytes()
    exact = vectors(adapted(base, kind, arrays, tmp_path, "f32").load(), TEXTS)
    assert (vectors(engine, TEXTS) * exact).sum(1).min() > 0.98


def test_another_precision_is_another_engine(base: str, tmp_path: Path) -> None:
    arrays = whole(base)
    plain, other = adapted(base, "full", arrays, tmp_path), adapted(base, "full", arrays, tmp_path, "bf16")
    assert plain.card.id != other.card.id
    files = other.packed(Call("own:net", []))
    (tmp_path / "b").mkdir()
    for name, content in files.items():
        (tmp_path / "b" / name).write_bytes(content)
    again = Adapted.opened(tmp_path / "b", {})
    assert (again.card, again.precision) == (other.card, "bf16")
    (tmp_path / "b" / RECORD).write_bytes(msgspec.json.encode(msgspec.structs.replace(other.about, precision="w2")))
    with pytest.raises(BundleError, match="precision"):
        Adapted.opened(tmp_path / "b", {})


def test_a_processor_without_bfloat16_says_so(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = adapted(base, "full", whole(base), tmp_path, "bf16")
    monkeypatch.setattr(processor, "flags", lambda: frozenset({"avx512bw"}))
    with pytest.raises(TrunkError, match="lacks the instructions"):
        own.load()


def test_cut_heads_and_columns_are_those_that_give_nothing(base: str, tmp_path: Path) -> None:
    """A graph without the second head and half of the inner columns equals the whole one where they are zero."""
    masked = whole(base)
    masked["encoder.layer.0.attention.output.dense.weight"][:, 8:] = 0
    masked["encoder.layer.0.output.dense.weight"][:, 16:] = 0
    cut = adapted(base, "cut", whole(base, (0,), 16), tmp_path, "f32")
    full = adapted(base, "cut", masked, tmp_path, "f32")
    assert cut.size_bytes < full.size_bytes
    assert vectors(cut.load(), TEXTS) == pytest.approx(vectors(full.load(), TEXTS), abs=2e-3)  # stored as float16


def _a_part_of_a_head(arrays: dict[str, Any]) -> None:
    for part in ("query", "key", "value"):
        for what in ("weight", "bias"):
            arrays[f"encoder.layer.0.attention.self.{part}.{what}"] = arrays[f"encoder.layer.0.attention.self.{part}.{what}"][:9]
    arrays["encoder.layer.0.attention.output.dense.weight"] = arrays["encoder.layer.0.attention.output.dense.weight"][:, :9]


def _one_too_many(arrays: dict[str, Any]) -> None:
    arrays["encoder.layer.1.output.dense.bias"] = np.zeros(16, np.float32)


def _one_too_few(arrays: dict[str, Any]) -> None:
    del arrays["encoder.layer.0.output.LayerNorm.weight"]


def _of_two_widths(arrays: dict[str, Any]) -> None:
    arrays["encoder.layer.0.output.dense.weight"] = arrays["encoder.layer.0.output.dense.weight"][:, :5]


@pytest.mark.parametrize("broken", [_a_part_of_a_head, _one_too_many, _one_too_few, _of_two_widths])
def test_tensors_that_make_no_network_are_refused(broken: Any, base: str, tmp_path: Path) -> None:
    arrays = whole(base)
    broken(arrays)
    with pytest.raises(BundleError, match="don't fit"):
        adapted(base, "cut", arrays, tmp_path).load()


def test_a_cut_e5_gives_the_same_bits_in_any_batch(tmp_path: Path) -> None:
    if find("e5-small").available() is not None:
        pytest.skip("e5-small is not on this machine")
    parts = parts_of("e5-small")
    names = [f"encoder.layer.0.{part}.{what}" for part in (*LINEARS, "attention.output.LayerNorm", "output.LayerNorm") for what in ("weight", "bias")]
    own = adapted("e5-small", "cut", {name: np.array(parts.weight(name)) for name in names}, tmp_path, layers=1)
    engine, texts = own.load(), [*TEXTS, *(" ".join(TEXTS[:n]) * n for n in range(1, 6))]
    alone = np.concatenate([vectors(engine, [text]) for text in texts])
    assert vectors(engine, texts[::-1])[::-1].tobytes() == alone.tobytes()
    assert own.size_bytes < 2_000_000

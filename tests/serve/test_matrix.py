"""One row put to many products at once: every answer is the one that the product gives alone, bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.heads.linear_heads import WORDS, linear_head
from tests.serve.parts import CARD, ToyHead, make_bundle, register

from trunkline.bundle import Bundle
from trunkline.heads.linear import LinearHead
from trunkline.program import one
from trunkline.serve.answer import predict
from trunkline.serve.catalog import Catalog, Served, ready
from trunkline.serve.matrix import answering_matrix
from trunkline.serve.replay import Proven
from trunkline.serve.wire import LateError
from trunkline.types import Call, Decision, Outputs

TEXTS = st.lists(st.sampled_from([*WORDS, "break", "aab", "漢字 🙂"]), min_size=1, max_size=6).map(" ".join)
SHAPES = {
    "classify": ((2, "softmax"), (7, "softmax"), (1, "logistic")),
    "multilabel": ((2, "labels"), (7, "labels")),
    "regress": ((1, "identity"),),
}


def ask(calls: Sequence[Call]) -> Outputs:
    """Vectors of 4 numbers, as the toy trunk's."""
    return [np.array([[t.count("a"), t.count("r"), len(t), 1] for t in call.items], np.float32) for call in calls]


def make(folder: Path, name: str, task: str, seed: int) -> Served:
    """A product by one of its task's shapes, some with table columns or a column of another name."""
    shapes = SHAPES[task]
    outputs, link = shapes[seed % len(shapes)]
    column = "text" if seed % 3 else "review"
    parts = ("dense+marks+lexical", "dense+marks", "lexical")[seed % 7 % 3]
    head = linear_head(seed, outputs, link=link, dim=4, parts=parts, columns=(column,), engine="trunk:toy")
    labels = [f"{name} {i}" for i in range(2 if link == "logistic" else outputs)] if task != "regress" else []
    made = make_bundle(folder / name, name=name, inputs={column: "text"}, head=head, labels=labels, spec={"task": task}, trunks=(CARD,))
    thresholds = tuple(np.linspace(0.2, 0.8, outputs).tolist()) if task == "multilabel" and seed % 2 else ()
    decision = Decision((1.0, 0.7, 2.0)[seed % 3], 0.3, (None, 0.8)[seed % 2], thresholds, residual=seed / 3)
    return ready(replace(made, decision=decision))


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    folder = tmp_path_factory.mktemp("bundles")
    names = {f"{task}{seed}": make(folder, f"{task}{seed}", task, seed) for task in SHAPES for seed in range(14)}
    with register():
        toy = [make_bundle(folder / f"toy{i}", name=f"toy{i}", head=ToyHead("text", [1.0, 2.0, i + 1])) for i in range(3)]
        return {**names, **{bundle.name: ready(bundle) for bundle in toy if bundle.head()}}


def answers(products: Mapping[str, Served], row: dict[str, Any], top: int | None = 5) -> dict[str, bytes]:
    found = one(answering_matrix(Catalog(products), row, list(products), top), ask)["answers"]
    return dict(zip(products, map(orjson.dumps, found), strict=True))


@given(text=TEXTS, picked=st.sets(st.integers(0, 44), min_size=2), top=st.sampled_from((None, 1, 5)))
def test_every_answer_is_the_one_given_alone(
    products: dict[str, Served], text: str, picked: set[int], top: int | None
) -> None:
    chosen = {name: products[name] for i, name in enumerate(products) if i in picked}
    whole = answers(chosen, {"text": text}, top)
    assert list(whole) == list(chosen)
    for name, served in chosen.items():
        assert whole[name] == answers({name: served}, {"text": text}, top)[name]
        (column,) = served.kinds
        if b"broken" not in whole[name]:
            (alone,) = predict(served, [{column: text}], ask, top)
            assert {**alone, **orjson.loads(whole[name])} == {**orjson.loads(whole[name]), "id": 0}


def test_heads_of_one_shape_are_applied_at_once(products: dict[str, Served], monkeypatch: pytest.MonkeyPatch) -> None:
    stacks: list[int] = []
    whole = LinearHead.run_stack.__func__  # type: ignore[attr-defined]

    def counted(cls: type[LinearHead], heads: Sequence[LinearHead], rows: Any) -> Any:
        stacks.append(len(heads))
        return whole(cls, heads, rows)

    monkeypatch.setattr(LinearHead, "run_stack", classmethod(counted))
    answers(products, {"text": "my card"})
    assert sum(stacks) == 42
    assert len(stacks) < 20


def test_one_that_breaks_leaves_its_stack(products: dict[str, Served]) -> None:
    fine = {name: products[name] for name in ("classify1", "classify4", "classify10")}
    head = fine["classify4"].head
    assert isinstance(head, LinearHead)
    assert head.dense is not None
    narrow = LinearHead(head.link, head.bias, replace(head.dense, weights=head.dense.weights[:, 1:]), head.lexical)
    assert narrow.likeness([{"text": "a"}]) == head.likeness([{"text": "a"}])
    bad = replace(fine["classify4"], head=narrow)
    for others in (fine, {}):
        found = answers({"bad": bad, **others}, {"text": "my card"})
        assert orjson.loads(found.pop("bad"))["error"] == "broken"
        assert found == answers(others, {"text": "my card"})


def test_one_that_cannot_be_loaded_leaves_the_others(products: dict[str, Served], tmp_path: Path) -> None:
    shutil.copytree(products["classify1"].bundle.folder, tmp_path / "bad")
    (tmp_path / "bad" / "head.safetensors").write_bytes(b"damaged")
    bad, fine = Proven(Bundle.open(tmp_path / "bad", verify=False), ask), {"fine": products["classify4"]}
    found = answers({"bad": bad, **fine}, {"text": "my card"})
    assert orjson.loads(found["bad"])["error"] == "broken"
    assert found["fine"] == answers(fine, {"text": "my card"})["fine"]


def test_a_stack_whose_row_was_not_computed_is_not_asked_again(products: dict[str, Served]) -> None:
    steps = answering_matrix(Catalog(products), {"text": "my card"}, ["classify1", "classify4", "classify10"], 5)
    assert len(next(steps)) == 2
    with pytest.raises(StopIteration) as end:
        steps.throw(LateError("the deadline passed"))
    assert [answer["message"] for answer in end.value.value["answers"]] == ["the deadline passed"] * 3


def test_a_swapped_product_answers_with_its_new_weights(products: dict[str, Served]) -> None:
    kept, old, new = (products[name] for name in ("classify1", "classify4", "classify10"))
    before = answers({"kept": kept, "swapped": old}, {"text": "my card"})
    after = answers({"kept": kept, "swapped": new}, {"text": "my card"})
    assert after["kept"] == before["kept"]
    assert after["swapped"] == answers({"alone": new}, {"text": "my card"})["alone"]

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.heads.linear_heads import WORDS, linear_head
from tests.methods.texts import ask

from trunkline.columns import ColumnEncoder
from trunkline.errors import BundleError
from trunkline.heads.constant import ConstantHead
from trunkline.heads.dense import Dense
from trunkline.heads.linear import DensePart, LinearHead
from trunkline.heads.stack import stackable
from trunkline.program import one
from trunkline.types import Inputs, Prediction

TEXTS = st.lists(st.sampled_from([*WORDS, "", "漢字 🙂", "7"]), max_size=6).map(" ".join)
PARTS = st.sampled_from(("dense+marks+lexical", "dense+lexical", "dense+marks", "dense", "lexical"))
SHAPES = st.sampled_from(((1, "logistic"), (1, "identity"), (2, "softmax"), (3, "labels"), (26, "softmax"), (77, "softmax")))


def bits(prediction: Prediction) -> tuple[bytes, bytes | None]:
    return prediction.values.tobytes(), None if prediction.outside is None else prediction.outside.tobytes()


@given(parts=PARTS, shape=SHAPES, count=st.integers(1, 6), columns=st.sampled_from((("text",), ("text", "note"))),
       rows=st.lists(st.fixed_dictionaries({"text": TEXTS, "note": TEXTS}), max_size=4))  # fmt: skip
def test_a_head_says_the_same_bits_alone_and_in_any_stack(
    parts: str, shape: tuple[int, str], count: int, columns: tuple[str, ...], rows: list[Inputs]
) -> None:
    outputs, link = shape
    heads = [linear_head(seed, outputs, link=link, parts=parts, columns=columns) for seed in range(count)]
    assert len({head.likeness(rows) for head in heads}) == 1
    whole = one(LinearHead.run_stack(heads, rows), ask)
    for i, head in enumerate(heads):
        at = np.arange(i * len(rows), (i + 1) * len(rows))
        assert bits(whole.take(at)) == bits(one(head.run(rows), ask))


def test_heads_are_alike_where_shape_and_texts_are() -> None:
    def likeness(seed: int = 0, outputs: int = 3, row: Inputs | None = None, **keys: Any) -> Any:
        return linear_head(seed, outputs, **keys).likeness([row or {"text": "a"}])

    assert likeness() == likeness(1)
    assert likeness() == likeness(1, columns=("review",), row={"review": "a"})  # the same text under another name
    others = [
        likeness(outputs=4), likeness(dim=8), likeness(link="labels"), likeness(parts="dense+lexical"),
        likeness(engine="trunk:other"), likeness(row={"text": "b"}), likeness(columns=("text", "text")),
    ]  # fmt: skip
    assert len({likeness(), *others}) == 8


def test_a_head_with_table_columns_stacks_with_no_other() -> None:
    encoder = ColumnEncoder.fit({"size": "number"}, [{"size": 1.0}, {"size": 2.0}])
    width = 48 + encoder.dim
    part = DensePart(Dense.of_texts("trunk:t", ("text",), encoder), np.ones((width, 2), np.float32), np.ones(2, np.float32))
    head = LinearHead("softmax", np.zeros(2, np.float32), part)
    assert head.likeness([{"text": "a", "size": 1.0}]) is None
    assert one(head.run([{"text": "a", "size": 1.0}]), ask).values.shape == (1, 2)


def test_a_trunk_of_another_width_is_named() -> None:
    heads = [linear_head(seed, 3, dim=8) for seed in range(2)]
    with pytest.raises(BundleError, match="don't fit the head"):
        one(LinearHead.run_stack(heads, [{"text": "a"}]), ask)


def test_a_head_that_runs_its_own_way_is_not_stacked() -> None:
    class Own(LinearHead):
        def run(self, rows: Any) -> Any:
            raise NotImplementedError

    assert stackable(linear_head(0, 3))
    assert not stackable(Own("softmax", np.zeros(3, np.float32), linear_head(0, 3).dense))
    assert not stackable(ConstantHead(np.ones(2)))

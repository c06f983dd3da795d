from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.methods.texts import spec_of

from trunkline.errors import DataError, SpecError
from trunkline.metrics import multilabel_macro_f1
from trunkline.tasks.multilabel import Multilabel
from trunkline.types import Decision, Examples, Prediction

TASK = Multilabel()
LABELS = ("rare", "red", "红")


def noisy(n: int = 600) -> tuple[Examples, Prediction]:
    """Of three labels, the first is rare and never probable."""
    rng = np.random.default_rng(0)
    target = rng.random((n, 3)) < [0.05, 0.5, 0.5]
    values = np.clip(0.25 + 0.4 * target + rng.normal(size=(n, 3)) * 0.15, 0.01, 0.99)
    values[:, 0] = np.clip(values[:, 0] * 0.4, 0.01, 0.99)
    known = Examples([{}] * n, target, LABELS, [str(i).encode() for i in range(n)], np.arange(n))
    return known, Prediction(values)


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("red|红", {"red", "红"}),
        (" red | 红 |", {"red", "红"}),
        ('["red", "红"]', {"red", "红"}),
        (["rare"], {"rare"}),
        ("", set()),
        ("[]", set()),
    ],
)
def test_cells(cell: Any, labels: set[str]) -> None:
    target, _ = TASK.target(spec_of("multilabel"), [cell], LABELS)
    assert {LABELS[i] for i in np.flatnonzero(target[0])} == labels


def test_separators_and_labels_that_look_like_json() -> None:
    assert TASK.target(spec_of("multilabel", separator=";"), ["a;b", "[x;c"], None)[1] == ("[x", "a", "b", "c")


def test_an_unseen_label_is_named() -> None:
    with pytest.raises(DataError) as error:
        TASK.target(spec_of("multilabel"), ["red", "rad|红"], LABELS)
    assert "'rad'" in str(error.value)
    assert "row 2" in str(error.value)


def test_thresholds_are_better_than_a_half() -> None:
    known, raw = noisy()
    decision = TASK.calibrate(spec_of("multilabel"), known, raw)
    assert decision.thresholds[0] < 0.4
    tuned = multilabel_macro_f1(known.target, TASK.finish(raw, decision).values)
    assert float(tuned) > float(multilabel_macro_f1(known.target, raw.values)) + 0.1


def test_a_threshold_by_hand_wins_and_an_unknown_one_is_refused() -> None:
    known, raw = noisy()
    assert TASK.calibrate(spec_of("multilabel", serve={"thresholds": {"red": 0.9}}), known, raw).thresholds[1] == 0.9
    with pytest.raises(SpecError):
        TASK.calibrate(spec_of("multilabel", serve={"thresholds": {"rad": 0.9}}), known, raw)


def test_a_label_is_given_exactly_from_its_threshold_on() -> None:
    decision = Decision(thresholds=(0.2, 0.5, 0.9))
    raw = Prediction(np.array([[0.2, 0.5, 0.9], [0.19, 0.49, 0.89], [0.0, 1.0, 1.0]]))
    given = [a.fields["labels"] for a in TASK.decode(TASK.finish(raw, decision), decision, LABELS)]
    assert given == [list(LABELS), [], ["red", "红"]]


def test_corrections_are_lists_of_known_labels() -> None:
    _, raw = noisy(10)
    answer = TASK.decode(raw, Decision(), LABELS)[0]
    assert TASK.correct(answer, ["红", "red"], LABELS) == ["red", "红"]
    for wrong in ("red", ["rad"]):
        with pytest.raises(DataError):
            TASK.correct(answer, wrong, LABELS)

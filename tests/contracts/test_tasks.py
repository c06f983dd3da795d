"""What every task promises, those of other packages included."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.methods.texts import spec_of

from trunkline.methods import METHODS
from trunkline.serve.answer import plain
from trunkline.spec import Spec
from trunkline.tasks import TASKS
from trunkline.tasks.common import row_by_row
from trunkline.tasks.tag import ragged
from trunkline.types import Decision, Examples, Prediction, Task

N = 60
CELLS: dict[str, list[Any]] = {
    "multilabel": [("红|blue", "blue", "", "green|blue", "红")[i % 5] for i in range(N)],
    "extract": [[{"start": 0, "end": 3, "text": "row"}] * (i % 3 > 0) for i in range(N)],
    "tag": [[{"start": 0, "end": 3, "type": ("A", "B")[i % 2], "text": "row"}] * (i % 3 > 0) for i in range(N)],
    "regress": [f"{i * 1.5:.1f}" for i in range(N)],
}
ANY_CELLS = [("yes", "no", "也许")[i % 3] for i in range(N)]


def task_of(name: str) -> tuple[Task, Spec, Examples]:
    task, spec = TASKS.get(name)(), spec_of(name)
    target, labels = task.target(spec, CELLS.get(name, ANY_CELLS), None)
    texts = [f"row {i}" for i in range(N)]
    return task, spec, Examples([{"text": t} for t in texts], target, labels, [t.encode() for t in texts], np.arange(N))


def prediction_of(known: Examples) -> Prediction:
    """Something like the truth, with noise."""
    rng = np.random.default_rng(0)
    outside = rng.random(N)
    if known.target.dtype == object:
        sure = [tuple(span._replace(score=float(rng.random())) for span in spans) for spans in known.target]
        return Prediction(ragged([*sure[1:], ()]), outside)
    if known.target.ndim == 2:
        return Prediction(np.clip(known.target * 0.5 + rng.random(known.target.shape) * 0.5, 0.01, 0.99), outside)
    if known.target.dtype.kind == "f":
        return Prediction(known.target + rng.normal(size=N), outside)
    scores = np.eye(len(known.labels))[known.target] * 2 + rng.normal(size=(N, len(known.labels)))
    powers = np.exp(scores)
    return Prediction(powers / powers.sum(axis=1, keepdims=True), outside)


@pytest.mark.parametrize("name", TASKS.names())
def test_targets_are_of_one_of_the_known_forms_and_labels_sorted(name: str) -> None:
    task, spec, known = task_of(name)
    assert task.name == name
    assert known.target.shape[0] == N
    assert (known.target.ndim, known.target.dtype.name) in ((1, "int64"), (2, "bool"), (1, "float64"), (1, "object"))
    assert list(known.labels) == sorted(set(known.labels))
    again, labels = task.target(spec, CELLS.get(name, ANY_CELLS), known.labels)
    assert labels == known.labels
    assert np.array_equal(again, known.target)


@pytest.mark.parametrize("name", TASKS.names())
def test_metrics_hold_the_primary_one_and_give_numbers(name: str) -> None:
    task, spec, known = task_of(name)
    metrics = task.metrics(spec, known.labels)
    assert task.primary(spec) in metrics
    values = task.finish(prediction_of(known), task.calibrate(spec, known, prediction_of(known))).values
    for key, metric in metrics.items():
        assert metric.name == key
        value = metric.of(known.target, values)
        assert np.isfinite(value), key
        if metric.per_row is not None:
            assert float(np.mean(metric.per_row(known.target, values))) == pytest.approx(value)
        if metric.weighted is not None:
            drawn = metric.weighted(known.target, values, np.ones((2, N)))
            assert drawn.tolist() == pytest.approx([value, value])


@pytest.mark.parametrize("name", TASKS.names())
def test_folds_cover_all_rows_and_depend_on_nothing_but_the_seed(name: str) -> None:
    task, _, known = task_of(name)
    folds = task.folds(known, 5, 0)
    assert sorted(np.unique(folds).tolist()) == [0, 1, 2, 3, 4]
    assert np.array_equal(folds, task.folds(known, 5, 0))


@pytest.mark.parametrize("name", TASKS.names())
def test_baselines_are_methods(name: str) -> None:
    task, spec, _ = task_of(name)
    assert set(task.baselines(spec)) <= set(METHODS.names())
    assert "majority" in task.baselines(spec)


@pytest.mark.parametrize("name", TASKS.names())
def test_answers_are_json_and_as_the_schema_says(name: str) -> None:
    task, spec, known = task_of(name)
    raw = prediction_of(known)
    decision = task.calibrate(spec, known, raw)
    assert msgspec.json.decode(msgspec.json.encode(decision), type=type(decision)) == decision
    answers = task.decode(task.finish(raw, decision), decision, known.labels)
    assert len(answers) == N
    schema = task.answer_schema(known.labels)
    msgspec.json.encode(schema)
    assert set(schema["example"]) <= set(schema["properties"])
    for answer in answers:
        msgspec.json.encode(answer.fields)
        assert set(answer.fields) == set(schema["properties"])
        assert answer.status in ("ok", "abstained", "out_of_scope")
    assert sum(answer.status == "ok" for answer in answers) > N / 2


@pytest.mark.parametrize("name", TASKS.names())
def test_an_answer_does_not_depend_on_its_batch(name: str) -> None:
    task, spec, known = task_of(name)
    raw = prediction_of(known)
    decision = task.calibrate(spec, known, raw)
    together = task.decode(task.finish(raw, decision), decision, known.labels)
    for i in range(N):
        alone = task.decode(task.finish(raw.take(np.array([i])), decision), decision, known.labels)
        assert alone == [together[i]]


def decisions_of(k: int) -> list[Decision]:
    """Of products with k labels."""
    cool, outside = (1.0, 0.5, 3.0), (None, 0.5)
    found = [Decision(t, 0.4 * (i % 3), outside[i % 2], residual=t) for i, t in enumerate(cool * 2)]
    found += [replace(one, thresholds=tuple(np.linspace(0.1, 0.9, k).tolist())) for one in found[:3]]
    prices = np.random.default_rng(0).random((k, k)).tolist()
    return [*found, replace(found[0], costs=tuple(map(tuple, prices)))] if k else found


@pytest.mark.parametrize("top", [None, 2])
@pytest.mark.parametrize("name", TASKS.names())
def test_rows_of_many_products_are_answered_as_alone(name: str, top: int | None) -> None:
    task, _, known = task_of(name)
    if not row_by_row(task):
        pytest.skip("the task answers one product at a time")
    raw, made = prediction_of(known), decisions_of(len(known.labels))
    decisions = [made[i % len(made)] for i in range(N)]
    labels = [[f"{i % 5} {label}" for label in known.labels] for i in range(N)]
    together = task.decode_each(task.finish_each(raw, decisions), decisions, labels, top)
    for i, (decision, names) in enumerate(zip(decisions, labels, strict=True)):
        row = raw.take(np.array([i]))
        (alone,) = task.decode(task.finish(row, decision), decision, names)
        assert plain(together[i], top) == plain(alone, top)
        assert list(together[i].fields.get("scores", ())) == list(plain(alone, top).get("scores", ()))


def correction_of(known: Examples) -> Any:
    """The truth of the first row, as a user would give it."""
    said = known.target[0]
    if known.target.dtype == object:
        types = [{"type": known.labels[span.label]} if known.labels else {} for span in said]
        return [{"start": span.start, "end": span.end, **own} for span, own in zip(said, types, strict=True)]
    if known.target.ndim == 2:
        return [known.labels[i] for i in np.flatnonzero(said)]
    return known.labels[int(said)] if known.labels else float(said)


@pytest.mark.parametrize("name", TASKS.names())
def test_a_correction_is_a_label_cell(name: str) -> None:
    task, spec, known = task_of(name)
    raw = prediction_of(known)
    decision = task.calibrate(spec, known, raw)
    answer = task.decode(task.finish(raw, decision), decision, known.labels)[0]
    said = known.target[0]
    cell = task.correct(answer, correction_of(known), known.labels)
    target, _ = task.target(spec, [cell], known.labels)
    if known.target.dtype == object:
        assert [span[:3] for span in target[0]] == [span[:3] for span in said]
    else:
        assert np.array_equal(target[0], said)

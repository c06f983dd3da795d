"""What every method promises, those of other packages included."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.contracts.products import HEAD_MB, able, ask_of, learned, products
from tests.methods.texts import ask

from trunkline.heads import HEADS
from trunkline.methods import METHODS
from trunkline.program import one
from trunkline.types import Candidate, Prediction, Refused

pytestmark = pytest.mark.usefixtures("one_thread")
CASES = able()


def candidate(method: str, product: str) -> Candidate:
    found = learned(method, product)
    assert isinstance(found, Candidate)
    return found


def check(prediction: Prediction, product: str, n: int) -> None:
    """Values of the product's task: shape, range, sum."""
    made = products()[product]
    values, labels = prediction.values, len(made.examples.labels)
    if made.spec.task in ("tag", "extract"):
        assert values.shape == (n,)
        assert all(0 <= span.start < span.end and 0 <= span.score <= 1 for spans in values for span in spans)
        return
    assert values.shape == ((n,) if made.spec.task == "regress" else (n, labels))
    assert np.isfinite(values).all()
    if made.spec.task != "regress":
        assert (values >= 0).all()
        assert (values <= 1 + 1e-9).all()
    if made.spec.task == "classify":
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)
    if prediction.outside is not None:
        assert prediction.outside.shape == (n,)
        assert np.isfinite(prediction.outside).all()


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_is_made_without_arguments_and_knows_its_name(name: str) -> None:
    assert METHODS.get(name)().name == name


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_can_do_something_here(name: str) -> None:
    found = [learned(name, product) for product in products()]
    absent = [refused.message for refused in found if isinstance(refused, Refused) and refused.code == "missing"]
    if absent:
        pytest.skip(absent[0])
    assert any(isinstance(each, Candidate) for each in found)


@pytest.mark.parametrize("name", METHODS.names())
def test_what_a_method_can_not_do_it_says_in_a_sentence(name: str) -> None:
    for product in products():
        found = learned(name, product)
        if isinstance(found, Refused):
            assert found.code
            assert len(found.message) > 10


@pytest.mark.parametrize(("method", "product"), CASES)
def test_head_and_out_of_fold_predictions_are_of_the_task(method: str, product: str) -> None:
    found, made = candidate(method, product), products()[product]
    check(found.out_of_fold, product, len(made.examples))
    prediction = one(found.head.run(made.examples.inputs), ask_of(found))
    check(prediction, product, len(made.examples))
    assert (prediction.outside is None) == (found.out_of_fold.outside is None)


@pytest.mark.parametrize(("method", "product"), CASES)
def test_the_head_is_registered_and_within_its_budget(method: str, product: str) -> None:
    head = candidate(method, product).head
    assert HEADS.get(head.format) is type(head)
    assert sum(array.nbytes for array in head.save()[1].values()) <= HEAD_MB * 1e6


@pytest.mark.parametrize(("method", "product"), CASES)
def test_settings_are_json(method: str, product: str) -> None:
    settings = candidate(method, product).settings
    assert msgspec.json.decode(msgspec.json.encode(settings)).keys() == settings.keys()


@pytest.mark.parametrize(("method", "product"), [(m, p) for m, p in CASES if p in ("classify mixed", "regress table")])
def test_learning_twice_gives_the_same_bits(method: str, product: str) -> None:
    first, made = candidate(method, product), products()[product]
    again = METHODS.get(method)().fit(made.spec, made.examples, made.folds, ask)
    assert again.settings == first.settings
    assert again.out_of_fold.values.tobytes() == first.out_of_fold.values.tobytes()
    for name, array in first.head.save()[1].items():
        assert array.tobytes() == again.head.save()[1][name].tobytes(), name


@pytest.mark.parametrize(("method", "product"), [(m, p) for m, p in CASES if p == "two classes text"])
def test_out_of_fold_predictions_do_not_know_their_own_label(method: str, product: str) -> None:
    """Labels turned at random: who sees them would still be right, out of fold no one can be."""
    candidate(method, product)
    made = products()[product]
    rng = np.random.default_rng(0)
    target = rng.permutation(np.arange(len(made.examples)) % 2).astype(np.int64)
    noise = type(made.examples)(made.examples.inputs, target, made.examples.labels, made.examples.keys, made.examples.rows)
    found = METHODS.get(method)().fit(made.spec, noise, made.folds, ask)
    assert (found.out_of_fold.values.argmax(axis=1) == target).mean() < 0.7

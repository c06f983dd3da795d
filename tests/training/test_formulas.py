"""Losses, optimisers and rates give the values that their formulas give by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from trunkline.training.losses import balanced, binary, cross_entropy, loss_of, squared  # noqa: E402
from trunkline.training.optimisers import optimiser_of, rate_at  # noqa: E402
from trunkline.training.settings import LoopSettings  # noqa: E402

GIVEN = torch.tensor([2.5, 3, 2.8, 3.2, 2.6], dtype=torch.float64)
WANTED = torch.tensor([3, 2, 2.5, 3, 2.8], dtype=torch.float64)
ROWS = torch.tensor([[0.3, 0.3, 0.4], [0.4, 0.3, 0.3], [0.2, 0.5, 0.3]], dtype=torch.float64)


def test_squared_errors_and_hubers() -> None:
    assert float(squared(GIVEN, WANTED)) == pytest.approx(0.284)
    assert math.sqrt(float(squared(GIVEN, WANTED))) == pytest.approx(0.5329, abs=5e-5)
    assert float((GIVEN - WANTED).abs().mean()) == pytest.approx(0.44)
    assert float(squared(GIVEN, WANTED, 1.0)) == pytest.approx(0.142)
    assert float(squared(GIVEN, WANTED, 0.5)) == pytest.approx(0.117)


def test_cross_entropy_is_of_logits() -> None:
    """The logarithms of probabilities are logits of the same probabilities; probabilities themselves are not."""
    target = torch.tensor([0, 1, 2])
    assert float(cross_entropy(ROWS.log(), target)) == pytest.approx(1.20397, abs=5e-6)
    assert float(cross_entropy(ROWS.log() + 7, target)) == pytest.approx(1.20397, abs=5e-6)
    assert float(cross_entropy(ROWS, target)) != pytest.approx(1.20397, abs=0.01)


def test_binary_of_one_logit_is_cross_entropy_of_two() -> None:
    logit, target = torch.tensor([[-2.0], [0.5], [3.0]]), torch.tensor([0, 1, 0])
    two = torch.cat([torch.zeros(3, 1), logit], 1)
    for gamma in (0.0, 2.0):
        assert float(binary(logit, target, gamma=gamma)) == pytest.approx(float(cross_entropy(two, target, gamma=gamma)))
    weights = torch.tensor([0.5, 2.0])
    assert float(binary(logit, target, weights=weights)) == pytest.approx(float(cross_entropy(two, target, weights=weights)))
    assert float(binary(logit, target, smoothing=0.1)) == pytest.approx(float(cross_entropy(two, target, smoothing=0.1)))


def test_independent_labels() -> None:
    logits, target = torch.tensor([[0.0, 2.0]]), torch.tensor([[1, 0]])
    by_hand = (-math.log(0.5) - math.log(1 - 1 / (1 + math.exp(-2)))) / 2
    assert float(binary(logits, target)) == pytest.approx(by_hand)
    weighted = (3 * -math.log(0.5) - math.log(1 - 1 / (1 + math.exp(-2)))) / 2
    assert float(binary(logits, target, weights=torch.tensor([3.0, 5.0]))) == pytest.approx(weighted)


def test_focal_is_the_row_times_what_is_missing() -> None:
    p = 0.3
    by_hand = (1 - p) ** 2 * -math.log(p)
    assert float(cross_entropy(ROWS[:1].log(), torch.tensor([0]), gamma=2.0)) == pytest.approx(by_hand)


def test_smoothing_is_towards_all_classes_alike() -> None:
    """Szegedy et al.: (1 - e) of the label and e / k of each class."""
    wanted = -(0.9 + 0.1 / 3) * math.log(0.3) - 0.1 / 3 * (math.log(0.3) + math.log(0.4))
    assert float(cross_entropy(ROWS[:1].log(), torch.tensor([0]), smoothing=0.1)) == pytest.approx(wanted)


def test_weights_of_classes_average_one_over_the_rows() -> None:
    weights = balanced(torch.tensor([90, 10, 0]))
    assert float((weights * torch.tensor([90, 10, 0])).sum() / 100) == pytest.approx(1)
    assert float(weights[1] / weights[0]) == pytest.approx(9)


def test_a_loss_that_can_not_learn_the_answer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'mse' can't learn this answer; it may be cross_entropy \| focal"):
        loss_of(LoopSettings(loss="mse"), "softmax")


def descend(loss: Any, start: float, steps: int, rate: float = 0.1) -> list[float]:
    w = torch.nn.Parameter(torch.tensor([[start]], dtype=torch.float64))
    optimiser = optimiser_of(Holder(w), LoopSettings(optimiser="sgd", rate=rate, l2=0.0))
    seen = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss(w[0, 0]).backward()
        optimiser.step()
        seen.append(float(w.detach()))
    return seen


class Holder:
    def __init__(self, *parameters: Any) -> None:
        self._parameters = parameters

    def named_parameters(self) -> Any:
        return ((str(at), parameter) for at, parameter in enumerate(self._parameters))


def test_gradient_descent_fits_a_line() -> None:
    x = torch.tensor([1.0, 2, 3], dtype=torch.float64)
    assert descend(lambda w: squared(w * x, 2 * x), 0.0, 2) == pytest.approx([1.86667, 1.99111], abs=5e-6)


def test_one_logistic_weight() -> None:
    x, y = torch.tensor([[1.0], [2], [3]], dtype=torch.float64), torch.tensor([0, 1, 0])
    found = descend(lambda w: 3 * binary(w * x, y), 0.0, 2)
    assert found == pytest.approx([-0.1, -0.16520], abs=5e-6)
    assert descend(lambda w: 3 * binary(w * x, y), 0.0, 200)[-1] == pytest.approx(-0.30046, abs=5e-6)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_steps_by_the_rate(name: Any) -> None:
    w = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    optimiser = optimiser_of(Holder(w), LoopSettings(optimiser=name, rate=0.1, l2=0.0))
    for wanted in ([0.9, 1.9], [0.8, 1.8]):
        w.grad = torch.ones_like(w)
        optimiser.step()
        assert w.detach().numpy() == pytest.approx(np.array(wanted), abs=1e-6)


def by_hand(name: str, gradients: list[float], rate: float, m: float) -> float:
    w = v = s = 0.0
    for g in gradients:
        if name == "sgd":
            w -= rate * g
        elif name == "momentum":
            v = m * v + g
            w -= rate * v
        elif name == "adagrad":
            s += g * g
            w -= rate * g / (math.sqrt(s) + 1e-10)
        else:
            s = 0.99 * s + 0.01 * g * g
            v = m * v + g / (math.sqrt(s) + 1e-8)
            w -= rate * v
    return w


@pytest.mark.parametrize("name", ["sgd", "momentum", "adagrad", "rmsprop"])
def test_the_other_optimisers_by_hand(name: Any) -> None:
    w = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimiser = optimiser_of(Holder(w), LoopSettings(optimiser=name, rate=0.1, momentum=0.9))
    gradients = [1.0, -2.0, 0.5]
    for gradient in gradients:
        w.grad = torch.full_like(w, gradient)
        optimiser.step()
    assert float(w.detach()) == pytest.approx(by_hand(name, gradients, 0.1, 0.9))


def test_the_rate_warms_up_and_follows_half_a_cosine() -> None:
    settings = LoopSettings(rate=2.0, warmup=0.1)
    rates = [rate_at(step, 100, settings) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(1.0)
    assert 0 < rates[99] < 0.01
    assert rate_at(99, 100, LoopSettings(rate=2.0, schedule="constant")) == 2.0


def test_decay_spares_biases() -> None:
    module = torch.nn.Linear(2, 2)
    groups = optimiser_of(module, LoopSettings(l2=0.5)).param_groups
    assert [(group["weight_decay"], group["params"][0].ndim) for group in groups] == [(0.5, 2), (0.0, 1)]


def test_a_one_output_sigmoid_answers_both_classes() -> None:
    x = torch.tensor([[-1.0], [1.0]])
    loss = loss_of(LoopSettings(), "logistic")
    w = torch.nn.Linear(1, 1)
    optimiser = optimiser_of(w, LoopSettings(rate=0.3, l2=0.0))
    for _ in range(50):
        optimiser.zero_grad()
        loss(w(x), torch.tensor([0, 1])).backward()
        optimiser.step()
    yes = torch.sigmoid(w(x))[:, 0]
    assert yes[0] < 0.5 < yes[1]

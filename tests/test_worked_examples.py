"""Figures of small cases, computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trunkline.metrics import accuracy, log_loss, mae, per_class, r2, rmse

TARGET, VALUES = np.array([3, 2, 2.5, 3, 2.8]), np.array([2.5, 3, 2.8, 3.2, 2.6])


def test_errors_of_numbers() -> None:
    assert float(rmse(TARGET, VALUES)) ** 2 == pytest.approx(0.284)
    assert float(rmse(TARGET, VALUES)) == pytest.approx(0.5329, abs=5e-5)
    assert float(mae(TARGET, VALUES)) == pytest.approx(0.44)
    assert float(r2(TARGET, VALUES)) == pytest.approx(-0.9944, abs=5e-5)


def test_cross_entropy() -> None:
    values = np.array([[0.3, 0.3, 0.4], [0.4, 0.3, 0.3], [0.2, 0.5, 0.3]])
    assert float(log_loss(np.array([0, 1, 2]), values)) == pytest.approx(-math.log(0.3), abs=1e-9)
    assert -math.log(0.3) == pytest.approx(1.20397, abs=5e-6)


def test_accuracy_flatters_where_f1_does_not() -> None:
    """TP 8, FP 2, FN 8, TN 82."""
    target = np.repeat([1, 0, 1, 0], [8, 2, 8, 82])
    said = np.repeat([1, 1, 0, 0], [8, 2, 8, 82])
    assert float(accuracy(target, np.eye(2)[said])) == pytest.approx(0.90)
    assert float(per_class(target, said, 2)["f1"][1]) == pytest.approx(0.6154, abs=5e-5)

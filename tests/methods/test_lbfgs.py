from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trunkline.methods import lbfgs
from trunkline.methods.lbfgs import Floats32, Problem, minimise


def least_squares(seed: int, n: int = 40, d: int = 6, k: int = 2, spread: float = 30) -> tuple[Problem, Floats32]:
    """(the problem, its solution by the normal equations)."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, d)) * np.geomspace(1, spread, d)).astype(np.float32)
    y = rng.normal(size=(n, k)).astype(np.float32)
    pull = np.full((d, 1), 0.5, np.float32)

    def loss(scores: Floats32) -> tuple[float, Floats32]:
        gap = scores - y
        return float((gap**2).sum(dtype=np.float64)) / 2, gap

    solved = np.linalg.solve(x.T.astype(float) @ x + 0.5 * np.eye(d), x.T.astype(float) @ y)
    return Problem(lambda v: x @ v, lambda slope: x.T @ slope, loss, pull), solved.astype(np.float32)


@given(st.integers(0, 1_000))
def test_it_finds_what_the_normal_equations_give(seed: int) -> None:
    problem, solved = least_squares(seed)
    found = minimise(problem, np.zeros_like(solved), 200, 0.0)
    assert np.abs(found - solved).max() < 2e-3 * max(1.0, float(np.abs(solved).max()))


def test_a_step_costs_one_product_forward_and_one_back() -> None:
    problem, solved = least_squares(0)
    counts = {"forward": 0, "backward": 0}

    def counted(name: str, f: object) -> object:
        def g(v: Floats32) -> Floats32:
            counts[name] += 1
            return f(v)  # type: ignore[operator, no-any-return]

        return g

    watched = Problem(counted("forward", problem.forward), counted("backward", problem.backward), problem.loss, problem.pull)  # type: ignore[arg-type]
    minimise(watched, np.zeros_like(solved), 7, 0.0)
    assert counts == {"forward": 8, "backward": 8}


def test_no_step_makes_it_worse() -> None:
    problem, solved = least_squares(3, spread=1_000)
    values = []
    for steps in range(12):
        v = minimise(problem, np.zeros_like(solved), steps, 0.0)
        assert np.isfinite(v).all()
        values.append(problem.loss(problem.forward(v))[0] + float((problem.pull * v * v).sum()) / 2)
    assert all(after <= before + 1e-3 * abs(before) for before, after in pairwise(values))
    assert values[-1] < values[0]


def test_the_start_is_kept_where_it_is_the_optimum() -> None:
    problem, solved = least_squares(5)
    found = minimise(problem, solved, lbfgs.MEMORY, 1e-3)
    assert np.allclose(found, solved, atol=1e-3)

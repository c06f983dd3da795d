from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trunkline.metrics.traffic import Counts, Plain, known_figures
from trunkline.proof.gate import check_rules
from trunkline.spec.model import Rollout
from trunkline.types import Refused

ANSWERED = {"status": "ok", "label": "a"}


def test_latency_quantiles_are_true_within_a_bucket() -> None:
    rng, counts = random.Random(0), Counts()
    times = [rng.lognormvariate(2.0, 0.7) for _ in range(5_000)]
    for ms in times:
        counts.request([ANSWERED], ms / 1000)
    for name, share in (("latency_p50_ms", 50), ("latency_p95_ms", 95), ("latency_p99_ms", 99)):
        found = counts.latencies()[name]
        assert found.value == pytest.approx(np.percentile(times, share), rel=0.06)
        assert found.low <= found.value <= found.high
        # the exact interval of order statistics (binomial)
        low, high = stats.binom.ppf((0.025, 0.975), len(times), share / 100).astype(int)
        ordered = sorted(times)
        assert found.low == pytest.approx(ordered[low], rel=0.12)
        assert found.high == pytest.approx(ordered[high], rel=0.12)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e9])
def test_any_time_has_a_bucket(seconds: float) -> None:
    counts = Counts()
    counts.request([ANSWERED], seconds)
    assert counts.latencies()["latency_p95_ms"].n == 1


def test_shares_and_their_rows() -> None:
    counts = Counts()
    counts.request([ANSWERED, {"status": "abstained", "label": None}], 0.001)
    counts.request([ANSWERED, {"status": "error", "error": "broken"}, {"status": "error", "error": "broken"}], 0.001)
    counts.request([{"status": "error", "error": "missing_column"}], 0.001)  # the caller's mistake
    counts.failure()
    counts.comparison([True, False, True])
    shares = counts.shares()
    assert (shares["error_rate"].value, shares["error_rate"].n) == (2 / 4, 4)
    assert (shares["answered"].value, shares["answered"].n) == (2 / 6, 6)
    assert (shares["agreement"].value, shares["agreement"].n) == (2 / 3, 3)
    exact = stats.binomtest(2, 3).proportion_ci(method="wilson")
    assert (shares["agreement"].low, shares["agreement"].high) == pytest.approx((exact.low, exact.high))


def test_what_was_not_measured_is_refused_not_zero() -> None:
    figures = Counts().figures()
    assert list(figures) == known_figures()
    assert isinstance(figures["agreement.low"], Refused)
    assert isinstance(figures["latency_p95_ms"], Refused)
    assert figures["requests"] == 0.0
    assert Counts().as_dict()["agreement"] is None


def test_the_default_rules_name_known_figures() -> None:
    rules = Rollout()
    assert check_rules([*rules.promote, *rules.rollback], known_figures())


calls = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 100), st.booleans()), max_size=12)


@given(calls, st.integers(1, 3))
def test_counts_of_several_processes_add_up_to_those_of_one(called: list[tuple[int, float, bool]], processes: int) -> None:
    alone, parts, total = Counts(), [Counts() for _ in range(processes)], Counts()
    for at, (process, seconds, broke) in enumerate(called):
        for counts in (alone, parts[process % processes]):
            counts.request([{"status": "ok"}, {"status": "error", "error": "broken"}] if broke else [ANSWERED], seconds)
            counts.comparison([broke])
            if at % 3 == 0:
                counts.failure()
                counts.drop()
        if at % 2:  # handed over now and then
            total.add(parts[process % processes].take())
    for counts in parts:
        plain = msgspec.json.decode(msgspec.json.encode(counts.take().plain()), type=Plain)  # as it is kept
        total.add(Counts.of_plain(plain))
        assert not counts.any()
    assert total.as_dict() == alone.as_dict()
    assert total.any() is bool(called)

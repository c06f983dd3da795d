"""Real engines measured: within bounds, within time on a machine of one's own, and every answer as before."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from trunkline.engines import measure as measuring
from trunkline.engines.measure import ROWS, TOKENS, measure
from trunkline.engines.settings import MEASURED, Tunable, keep, settle
from trunkline.engines.threads import workers
from trunkline.types import Call, Engine

TEXTS = ["My card has not arrived", "我的卡还没到", "a", "早餐很好 but the room was cold", "long " * 90] * 5


@pytest.mark.parametrize("name", ["e5-small", "minilm"])
def test_a_real_engine_is_measured(
    engines: dict[str, Engine], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name not in engines:
        pytest.skip(f"{name} is not on this machine")
    monkeypatch.setattr(measuring, "quiet", lambda: True)  # other tests run beside this one
    monkeypatch.setattr(measuring, "LIMIT_SECONDS", 120.0)
    engine = copy.copy(engines[name])
    before = engine.run(Call("trunk:x", TEXTS))
    assert isinstance(engine, Tunable)
    found = measure(engine)
    assert found is not None
    assert (found.rows in ROWS, found.tokens in TOKENS, 1 <= found.threads <= workers()) == (True, True, True)
    assert {"16", "64"} <= set(found.row_ms)
    keep(tmp_path, engine.card, found)
    assert settle(engine, tmp_path).settings.why == MEASURED
    assert np.array_equal(engine.run(Call("trunk:x", TEXTS)), before)


@pytest.mark.parametrize("name", ["e5-small", "minilm", "use-multilingual"])
def test_generated_texts_have_the_lengths_they_stand_for(engines: dict[str, Engine], name: str) -> None:
    if name not in engines:
        pytest.skip(f"{name} is not on this machine")
    engine = engines[name]
    assert isinstance(engine, Tunable)
    calls = engine.examples()
    costs = [{engine.cost(item) for item in call.items} for call in calls]
    assert costs[-2:] == [{16}, {64}]
    assert all(len(set(call.items)) == len(call.items) for call in calls)
    assert engine.examples() == calls

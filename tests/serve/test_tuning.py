"""Engines are measured while nobody calls, once, and never against a caller."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from tests.serve.parts import ToyEngine, ToyTrunk, make_product

from trunkline.engines import measure as measuring
from trunkline.engines.batching import Batch
from trunkline.engines.settings import DEFAULT, MEASURED, Settings, settle
from trunkline.engines.threads import workers
from trunkline.files import folder_lock
from trunkline.serve import tuning
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.serve.residence import Residence
from trunkline.serve.tuning import Tuner, settings_of
from trunkline.serve.watch import Watcher
from trunkline.types import Call

NAME = "trunk:toy"


class Tuned(ToyEngine):
    """A toy with settings; `during` happens in the middle of a measurement."""

    def __init__(self, during: Callable[[], object] = lambda: None) -> None:
        self.settings, self.during = Settings(), during
        self.runs: list[int] = []  # shared with the copy that is measured

    @property
    def ran(self) -> int:
        return len(self.runs)

    def examples(self) -> list[Call]:
        return [Call(NAME, ["x" * (cost - 2) + f"{n:02}" for n in range(16)]) for cost in (16, 64)]

    def run(self, call: Call) -> Any:
        self.runs.append(len(call.items))
        if call.items[0][0] == "x":
            self.during()
        return super().run(call)


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("TRUNKLINE_BATCH_ROWS", "TRUNKLINE_BATCH_TOKENS", "TRUNKLINE_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(measuring, "quiet", lambda: True)
    monkeypatch.setattr(measuring, "LIMIT_SECONDS", 60.0)
    for name in ("trunkline.serve", "trunkline.engines"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        caplog.set_level(logging.INFO, logger=name)


def residence(engine: Tuned) -> Residence:
    return Residence(lambda name: engine, 1 << 40)


def asked(engines: Residence) -> None:
    """A row is answered."""
    with engines.use(NAME) as engine:
        engine.run(Call(NAME, ["a row"]))


def answered(engine: Tuned, folder: Path, quiet: float = 0.0) -> tuple[Tuner, Residence]:
    """Somebody was answered, and the tuner has seen it."""
    engines = residence(engine)
    tuner = Tuner(engines, folder, quiet)
    asked(engines)
    tuner.look()
    assert engine.settings.why == DEFAULT, "a look that sees new calls measures nothing"
    return tuner, engines


def test_measured_once_and_kept_for_the_next_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = Tuned()
    tuner, engines = answered(engine, tmp_path)
    tuner.look()
    assert engine.settings.why == MEASURED
    assert "an engine was measured" in caplog.text
    ran = engine.ran
    tuner.look()
    assert ran > 20
    asked(engines)
    for _ in range(3):
        tuner.look()
    assert engine.ran == ran + 1
    second = settle(Tuned(), tmp_path)
    assert second.settings == engine.settings
    again = residence(second)
    after = Tuner(again, tmp_path, 0.0)
    asked(again)
    for _ in range(3):
        after.look()
    assert second.runs == [1]


def test_nothing_is_measured_before_the_first_answer_nor_before_it_was_quiet(tmp_path: Path) -> None:
    engine = Tuned()
    engines = residence(engine)
    _ = engines[NAME]  # loaded, by whatever
    tuner = Tuner(engines, tmp_path, 0.0)
    for _ in range(3):
        tuner.look()
    assert engine.ran == 0
    late, _ = answered(engine, tmp_path, quiet=60.0)
    late.look()
    assert (engine.ran, engine.settings.why) == (1, DEFAULT)


def test_while_rows_wait_nothing_is_measured(tmp_path: Path) -> None:
    engine = Tuned()
    tuner, engines = answered(engine, tmp_path)
    with engines.use(NAME):
        for _ in range(3):
            tuner.look()
    assert engine.settings.why == DEFAULT


def test_a_measurement_that_a_call_came_into_counts_for_nothing(tmp_path: Path) -> None:
    engine = Tuned()
    tuner, engines = answered(engine, tmp_path, quiet=1e-6)
    engine.during = lambda: asked(engines) if engine.ran == 30 else None
    tuner.look()
    assert engine.settings.why == DEFAULT
    assert engine.ran < 45, "it ends with the batches that were under way"
    assert not [file for file in tmp_path.iterdir() if file.suffix == ".json" and not file.name.startswith(".")]
    assert tuner._wait == 2e-6
    for _ in range(2):
        tuner.look()
    assert engine.settings.why == MEASURED


def test_the_server_that_stops_stops_it(tmp_path: Path) -> None:
    engine = Tuned()
    tuner, _ = answered(engine, tmp_path)
    tuner.look(lambda: True)
    assert (engine.ran, engine.settings.why) == (1, DEFAULT)


def test_an_engine_that_breaks_on_examples_serves_on_and_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Tuned(during=lambda: 1 / 0)
    tuner, engines = answered(engine, tmp_path)
    tuner.look()
    assert "weren't measured" in caplog.text
    ran = engine.ran
    tuner.look()
    assert engine.ran == ran
    asked(engines)


def test_another_process_that_measures_is_waited_for_and_believed(tmp_path: Path) -> None:
    first, second = Tuned(), Tuned()
    (one, _), (other, _) = answered(first, tmp_path), answered(second, tmp_path)
    with folder_lock(tmp_path, "measuring an engine"):
        one.look()
        assert first.ran == 1
    other.look()
    one.look()
    assert first.settings == second.settings
    assert (first.ran, second.settings.why) == (1, MEASURED)


def test_a_folder_that_can_not_be_written_costs_the_file_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    engine = Tuned()
    tuner, _ = answered(engine, tmp_path)
    monkeypatch.setattr(tuning, "keep", full)
    tuner.look()
    assert engine.settings.why == MEASURED
    assert "No space left" in str([record.__dict__.get("fields") for record in caplog.records])
    blocked = Tuned()
    (tmp_path / "file").write_text("")
    tuner, engines = answered(blocked, tmp_path / "file" / "below")
    tuner.look()
    assert blocked.settings.why == DEFAULT
    asked(engines)


def test_what_is_fixed_by_hand_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_BATCH_ROWS", "3")
    engine = settle(Tuned(), tmp_path)
    engines = residence(engine)
    tuner = Tuner(engines, tmp_path, 0.0)
    asked(engines)
    for _ in range(3):
        tuner.look()
    assert (engine.ran, engine.settings.batch) == (1, Batch(3, 256))


@pytest.fixture
def _tuned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ToyTrunk, "load", lambda self: Tuned())


@pytest.mark.usefixtures("_tuned")
def test_a_server_measures_behind_its_first_answer_and_shows_it(tmp_path: Path) -> None:
    make_product(tmp_path / "products")
    live = LiveCatalog(tmp_path / "products")
    watcher = Watcher(live)
    watcher.tuner.quiet = watcher.tuner._wait = 0.0

    def shown(client: TestClient) -> dict[str, float]:
        families = text_string_to_metric_families(client.get("/metrics").text)
        samples = (sample for family in families for sample in family.samples if sample.name == "trunkline_engine_setting")
        return {sample.labels["setting"]: sample.value for sample in samples if sample.labels["engine"] == NAME}

    with TestClient(build(live), "http://127.0.0.1") as client:

        def ask() -> Any:
            rows = [{"text": "abc"[n % 3] * (n + 1)} for n in range(40)]
            return client.post("/v1/products/support/predict", json={"rows": rows}).json()["answers"]

        before, first = ask(), shown(client)
        for _ in range(2):
            watcher.tuner.look()
        (settings,) = settings_of(live.engines).values()
        assert settings.measured
        now = shown(client)
        assert ask() == before
    assert first == {"rows": 8, "tokens": 256, "threads": workers(), "measured": 0}
    wanted = {"rows": settings.batch.rows, "tokens": settings.batch.tokens, "threads": settings.threads, "measured": 1}
    assert now == wanted
    assert np.isfinite(list(now.values())).all()
    assert len(list((tmp_path / "cache" / "settings").glob("[0-9a-f]*.json"))) == 1

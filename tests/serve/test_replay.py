from __future__ import annotations

import logging
from pathlib import Path
from threading import Thread
from typing import Any, cast

import numpy as np
import pytest
from tests.serve.parts import ToyEngine, ToyHead, ToyTable, ToyTask, make_bundle

from trunkline.bundle import Bundle
from trunkline.bundle.replay import Replay, difference, record
from trunkline.errors import BundleError
from trunkline.serve.catalog import Catalog
from trunkline.serve.replay import Proven, replay, slower_than_gate
from trunkline.types import Decision, Task

ENGINES = {"trunk:toy": ToyEngine()}
ASK = Catalog({}, {}, ENGINES).ask()
TEXTS = ["aaa", "一只猫 b", "ccc", "abc", "b" * 5_000]
TASK = cast(Task, ToyTask())
LABELS = ("fee", "card", "other")


def recorded(head: ToyHead | None = None) -> list[Replay]:
    rows = [{"text": text} for text in TEXTS]
    head = head or ToyHead("text", [1.0, 1.0, 1.0])
    return record({"text": "text"}, head, TASK, Decision(), LABELS, rows, ASK)


def test_rows_of_the_proof_and_of_the_kinds_are_recorded() -> None:
    made = recorded()
    assert [(r.row["text"], r.example) for r in made] == [
        ("aaa", False),
        ("一只猫 b", False),
        ("ccc", False),
        ("abc", False),
        ("My card still hasn't arrived.", True),
        ("我的卡还没到", True),
    ]
    assert made[0].answer["label"] == "fee"
    assert set(made[0].answer["scores"]) == set(LABELS)


def test_what_json_cannot_hold_is_left_out() -> None:
    head, inputs = ToyTable("amount", [1.0]), {"amount": "number", "when": "date"}
    rows: list[dict[str, Any]] = [
        {"amount": 1.5, "when": 19_000.25},  # a date's value isn't what a caller would write
        {"amount": float("nan"), "when": float("nan")},
        {"amount": np.zeros(3), "when": 0.0},
    ]
    made = record(inputs, head, TASK, Decision(), ("high", "low"), rows, ASK)
    assert [r.row for r in made if not r.example] == [{"amount": None, "when": None}]
    assert [r.row for r in made if r.example] == [{"amount": 12.5, "when": "2024-01-31"}]


def test_equal_answers_pass_and_others_are_refused(tmp_path: Path) -> None:
    whole = make_bundle(tmp_path / "v1", replays=recorded())
    assert len(replay(whole, TASK, ASK)) == 6
    other = make_bundle(tmp_path / "v2", "v2", head=ToyHead("text", [1.0, 1.0, 1.00001]), replays=recorded())
    with pytest.raises(BundleError, match="other answers here") as caught:
        replay(other, TASK, ASK)
    assert "answer.scores" in caught.value.found
    assert "aaa" not in str(caught.value)  # a customer's row
    strange = [Replay({"text": None}, {"status": "ok"})]
    with pytest.raises(BundleError, match="other answers"):
        replay(make_bundle(tmp_path / "v3", "v3", replays=strange), TASK, ASK)


@pytest.mark.parametrize(
    ("wanted", "found", "where"),
    [
        ({"label": "a", "scores": {"a": 0.5}}, {"label": "a", "scores": {"a": 0.5 + 5e-7}}, None),
        ({"value": 1e6}, {"value": 1e6 + 0.5}, None),
        ({"value": 1.0}, {"value": 1.00001}, "answer.value"),
        ({"labels": ["费用"]}, {"labels": ["费用", "b"]}, "answer.labels"),
        ({"spans": [{"at": 1}]}, {"spans": [{"at": 2}]}, "answer.spans[0].at"),
        ({"status": "ok"}, {"status": "abstained"}, "answer.status"),
        ({"value": None}, {"value": None}, None),
        ({"value": None}, {"value": 0.0}, "answer.value"),
        ({"is": True}, {"is": 1.0}, None),
        ({"a": 1}, {"b": 1}, "answer"),
    ],
)
def test_differences(wanted: Any, found: Any, where: str | None) -> None:
    said = difference(wanted, found)
    assert (said is None) if where is None else (said is not None and said.startswith(where + " is "))


def test_a_product_is_proven_once_on_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = Proven(make_bundle(tmp_path / "v1", replays=recorded()), ASK)
    verified: list[int] = []
    verify = Bundle.verify

    def counted(self: Bundle) -> None:
        verified.append(1)
        verify(self)

    monkeypatch.setattr(Bundle, "verify", counted)
    assert not served.proven
    threads = [Thread(target=lambda: served.head) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served.proven
    assert 1 <= len(verified) <= 8
    verified.clear()
    assert isinstance(served.head, ToyHead)
    assert verified == []


def test_one_that_is_refused_stays_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "v1")
    (bundle.folder / "card.md").write_text("other")
    served = Proven(Bundle.open(bundle.folder, verify=False), ASK)
    for _ in range(2):
        with pytest.raises(BundleError, match="changed"):
            _ = served.head
    assert not served.proven


def test_slower_than_the_gate_is_only_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = ["accuracy >= 0.1", "latency_p95_ms <= 50", "latency_p50_ms < 0.000001"]
    assert slower_than_gate(rules[:2], [10.0, 60.0, 20.0]) is None
    assert slower_than_gate(rules[:2], [70.0, 60.0, 20.0]) == "median 60.0 ms over 3 rows, wanted latency_p95_ms <= 50"
    assert slower_than_gate(rules[:2], []) is None
    bundle = make_bundle(tmp_path / "v1", replays=recorded(), spec={"gate": {"rules": rules}})
    monkeypatch.setattr(logging.getLogger("trunkline.serve"), "propagate", True)
    with caplog.at_level("WARNING", "trunkline.serve"):
        Proven(bundle, ASK).prove()
    assert "slower here" in caplog.text

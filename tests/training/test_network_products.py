"""A product that learns a network from scratch: from rows to a bundle that answers without torch."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from tests.methods.texts import ask as encoder
from tests.methods.texts import examples, pair, spec_of

from trunkline.engines.own import OwnNetwork
from trunkline.errors import SpecError
from trunkline.explain.inside import attention_of, filters_of
from trunkline.heads import HEADS
from trunkline.methods import METHODS
from trunkline.methods.learning import Learning, Material
from trunkline.methods.network import NetSettings
from trunkline.program import one
from trunkline.spec import Spec
from trunkline.tasks import TASKS
from trunkline.terminal import SILENT
from trunkline.types import Ask, Candidate, Examples, Refused

TEXT, TABLE = {"text": "text"}, {"size": "number", "shop": "category"}
QUICK = {"epochs": 25, "batch": 16, "rate": 0.005, "folds": 2, "words": 200, "longest": 20, "drop_words": 0.0}
METHOD_NAMES = ("lstm", "cnn1d", "transformer", "table_mlp")


def settings_of(method: str, **more: Any) -> dict[str, Any]:
    quick = {k: v for k, v in QUICK.items() if method != "table_mlp" or k not in ("words", "longest", "drop_words")}
    return {"name": method, "settings": {**quick, **more}}


def made(method: str, task: str, known: Examples, ask: Ask | None = None, **more: Any) -> tuple[Spec, Examples, Candidate]:
    inputs = TABLE if method == "table_mlp" else TEXT
    spec = spec_of(task, inputs, method=settings_of(method, **more))
    rows = [{name: row[name] for name in inputs} for row in known.inputs]
    part = METHODS.get(method)()
    own = Examples(rows, known.target, known.labels, known.keys, known.rows)
    assert part.can(spec, own) is None
    return spec, own, part.fit(spec, own, TASKS.get(task)().folds(own, 5, 0), ask or no_trunk)


def no_trunk(calls: Any) -> Any:
    raise AssertionError("no trunk is asked")


def ask_of(candidate: Candidate) -> Ask:
    engines = {name: network.load() for name, network in candidate.networks.items()}
    return lambda calls: [engines[call.engine].run(call) for call in calls]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))


def test_two_that_learn_the_same_at_once_take_turns() -> None:
    known = examples("classify")
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: made("table_mlp", "classify", known, epochs=2), range(2)))
    one_bits, other_bits = (one(each.head.run(own.inputs), ask_of(each)).values.tobytes() for _, own, each in found)
    assert one_bits == other_bits


@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("task", ["classify", "multilabel", "regress", "pair"])
def test_every_network_answers_every_task(method: str, task: str) -> None:
    known = pair() if task == "pair" else examples(task)
    named = "classify" if task == "pair" else task
    learns = task in ("classify", "pair") and method != "table_mlp"  # the table says little about the subject
    settings: dict[str, Any] = {} if learns else {"epochs": 2}
    _, own, found = made(method, named, known, **settings)
    values = one(found.head.run(own.inputs), ask_of(found)).values
    assert found.out_of_fold.values.shape == values.shape
    if learns:
        said = values.argmax(1)
        assert (said == own.target).mean() > 0.9
        assert (found.out_of_fold.values.argmax(1) == own.target).mean() > 0.6
        assert set(said.tolist()) == set(own.target.tolist())
    assert found.settings["onnx_difference"] < 1e-4
    assert len(found.settings["curve"]) > 1


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_a_row_alone_has_the_bits_it_has_among_others_and_a_saved_head_gives_them_too(method: str) -> None:
    _, own, found = made(method, "classify", examples(), epochs=2)
    ask = ask_of(found)
    together = one(found.head.run(own.inputs), ask).values
    alone = np.concatenate([one(found.head.run([row]), ask).values for row in own.inputs])
    assert together.tobytes() == alone.tobytes()
    again = HEADS.get(found.head.format).load(*found.head.save())
    assert one(again.run(own.inputs), ask).values.tobytes() == together.tobytes()


def test_attention_is_told_by_words_and_only_where_there_is_some() -> None:
    rows = [{"text": "my parcel is late"}, {"text": "  "}, {"text": "a b " * 40}]
    _, _, found = made("transformer", "classify", examples(), epochs=1)
    told, empty, long = one(attention_of(found.head, rows), ask_of(found))
    assert told is not None
    assert long is not None
    assert empty is None
    assert told.words == ["my", "parcel", "is", "late"]
    assert (len(long.words), long.more) == (20, 0)  # `longest` words are read
    assert np.array(told.shares).shape == (2, 4, 4)
    np.testing.assert_allclose(np.array(told.shares).sum(2), 1, atol=1e-3)
    _, _, other = made("cnn1d", "classify", examples(), epochs=1)
    assert one(attention_of(other.head, rows), ask_of(other)) == [None] * 3
    assert filters_of(found.head, found.networks) == []


def test_learning_twice_gives_the_same_bits() -> None:
    first, second = (made("cnn1d", "classify", examples(), epochs=2) for _ in range(2))
    assert first[2].out_of_fold.values.tobytes() == second[2].out_of_fold.values.tobytes()
    one_network, other = (found[2].networks["own:net"] for found in (first, second))
    assert isinstance(one_network, OwnNetwork)
    assert one_network.card.fingerprint == other.card.fingerprint


def test_a_training_is_named_by_what_stands_in_its_rows_not_by_their_ids_alone() -> None:
    """Else one that was killed goes on with other texts under the same ids."""
    known, spec = examples(n=20), spec_of("classify", TEXT, method=settings_of("cnn1d"))
    rows = [{"text": row["text"]} for row in known.inputs]
    ids = [str(at).encode() for at in range(len(rows))]

    def learning(inputs: list[dict[str, Any]]) -> Learning:
        own = Examples(inputs, known.target, known.labels, ids, known.rows)
        return Learning(spec, own, NetSettings(), Material(lambda outputs: None, lambda at, rng: {}), SILENT)

    assert learning(rows).about == learning([dict(row) for row in rows]).about
    assert learning(rows).about != learning([*rows[:-1], {"text": rows[-1]["text"] + "!"}]).about
    assert learning(rows).about_rows(np.arange(10)) != learning(rows).about_rows(np.arange(1, 11))


def test_checkpoints_are_gone_once_all_is_learned(tmp_path: Path) -> None:
    _, _, found = made("cnn1d", "classify", examples(), epochs=1)
    files = [path for path in (tmp_path / "cache" / "training").rglob("*") if path.is_file()]
    kept = [path for path in files if path.suffix != ".lock"]
    assert kept == [found.networks["own:net"].model]


def test_trainings_that_nobody_goes_on_with_are_gone_after_a_month(tmp_path: Path) -> None:
    old, new = tmp_path / "cache" / "training" / "other-old", tmp_path / "cache" / "training" / "other-new"
    for place in (old, new):
        (place / "all-rows").mkdir(parents=True)
        (place / "left.onnx").write_bytes(b"")
        place.with_suffix(".lock").touch()
    month = time.time() - 31 * 86_400
    for place in (old / "all-rows", old):
        os.utime(place, (month, month))
    os.utime(new, (month, month))  # but its checkpoint is of today
    made("cnn1d", "classify", examples(n=40))
    assert (old.exists(), new.exists()) == (False, True)
    assert (old.with_suffix(".lock").exists(), new.with_suffix(".lock").exists()) == (False, True)


def test_the_table_of_words_starts_from_the_trunk() -> None:
    asked: list[str] = []

    def told(calls: Any) -> Any:
        asked.extend(calls[0].items)
        return encoder(calls)

    _, _, found = made("cnn1d", "classify", examples(), told, epochs=1, vectors=True)
    assert set(asked) == set(found.head.vocabulary.words)  # type: ignore[attr-defined]
    assert found.out_of_fold.values.tobytes() != made("cnn1d", "classify", examples(), epochs=1)[2].out_of_fold.values.tobytes()


def test_an_empty_text_and_unknown_words_have_an_answer() -> None:
    _, _, found = made("lstm", "classify", examples(), epochs=1)
    values = one(found.head.run([{"text": ""}, {"text": "zzz qqq"}, {"text": "word " * 500}]), ask_of(found)).values
    assert np.isfinite(values).all()


def test_unseen_categories_and_missing_numbers_have_an_answer() -> None:
    _, _, found = made("table_mlp", "classify", examples(), epochs=1)
    rows: list[dict[str, Any]] = [{"size": float("nan"), "shop": None}, {"size": 1e300, "shop": "never seen"}]
    assert np.isfinite(one(found.head.run(rows), ask_of(found)).values).all()


def test_what_it_can_not_do_it_says() -> None:
    part = METHODS.get("lstm")()
    for spec, words in (
        (spec_of("classify", TEXT), "only a product that names it"),
        (spec_of("classify", TABLE, method={"name": "lstm"}), "one column of kind text"),
    ):
        found = part.can(spec, examples())
        assert isinstance(found, Refused)
        assert words in found.message


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"cel": "gru"}, "no setting 'cel'"), ({"cell": "rnn"}, "cell"), ({"loss": "mse"}, "can't learn this answer"), ({"size": "big"}, "size")],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        made("lstm", "classify", examples(), **settings)
    assert words in str(caught.value)


def test_a_bundle_answers_without_torch(tmp_path: Path) -> None:
    from tests.products import text_product

    product = text_product(tmp_path / "p")
    path = product.folder / "product.toml"
    text = path.read_text("utf-8") + '\n[method]\nname = "cnn1d"\n[method.settings]\nepochs = 2\nfolds = 2\n'
    path.write_text(text, "utf-8")
    again = type(product)(product.folder, product.desk)
    bundle = again.train()
    assert {"own/net/model.onnx", "own/net/engine.json"} <= set(bundle.manifest.files)
    checks = {fault["check"] for fault in bundle.report["data"]["findings"]}
    assert "network_may_have_seen" not in checks
    assert [epoch[0] for epoch in bundle.report["epochs"]] == [1, 2]
    page = bundle.read("report.html").decode()
    assert "The network was best after epoch" in page or "网络在第" in page
    code = (
        "import sys\nfrom pathlib import Path\nfrom trunkline.bundle import Bundle\nfrom trunkline.desk import Desk\n"
        "from trunkline.program import one\n"
        f"bundle = Bundle.open(Path({str(bundle.folder)!r}))\n"
        "ask = Desk().ask_uncached(bundle.engines)\n"
        "print(one(bundle.head().run([{'text': 'hello'}]), ask).values.shape, [m for m in ('torch', 'accelerate') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "[]" in done.stdout

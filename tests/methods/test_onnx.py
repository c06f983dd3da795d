from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.credit import INPUTS, as_rows, credit_product, probabilities, rows
from tests.methods.texts import ask as encoder
from tests.methods.texts import examples, spec_of
from tests.networks import H, linear, save
from tests.products import text_product

from trunkline.bundle import Bundle, export_bundle, import_bundle
from trunkline.engines.own import OwnEngine, OwnNetwork
from trunkline.errors import BundleError, DataError, MissingExtra, SpecError, TrunklineError
from trunkline.methods.onnx import Onnx, own_networks
from trunkline.spec import Spec
from trunkline.types import Candidate, Refused

TABLE = {"size": "number", "shop": "category"}
FOLDS = np.zeros(90, np.int64)


def test_a_scikit_learn_pipeline_becomes_a_product(tmp_path: Path) -> None:
    product = credit_product(tmp_path / "credit")
    bundle = product.train()
    assert bundle.manifest.passed
    assert bundle.manifest.method == "onnx"
    assert {"own/net/model.onnx", "own/net/engine.json"} <= set(bundle.manifest.files)
    findings = {fault["check"]: fault for fault in bundle.report["data"]["findings"]}
    assert "300 training rows" in findings["network_may_have_seen"]["en"]
    assert "300 行训练数据" in findings["network_may_have_seen"]["zh"]
    assert not bundle.report["curve"]
    page = bundle.read("report.html").decode() + bundle.read("card.md").decode()
    assert "may have seen these rows" in page
    cells, _ = rows(60, seed=3)
    answers = list(product.predict(as_rows(cells)))
    want = probabilities(cells) ** (1 / bundle.decision.temperature)
    want /= want.sum(axis=1, keepdims=True)
    np.testing.assert_allclose([[a["scores"][label] for label in ("bad", "good")] for a in answers], want, atol=1e-4)


def test_answers_follow_the_network(tmp_path: Path) -> None:
    """Another network is another digest; the older bundle keeps its own, and both are compared."""
    product = credit_product(tmp_path / "credit")
    first = product.train()
    product.deploy(first.version)
    flat = linear(tmp_path / "flat.onnx", np.zeros((3, 2)), [0, 0.1], name="numbers").read_bytes()
    settings = INPUTS.split("[method.settings.inputs.names]")[0].replace("[method", 'output = "y"\n[method', 1)
    (product.folder / "model.onnx").write_bytes(flat)
    text = (product.folder / "product.toml").read_text("utf-8").split("[method.settings]")[0] + "[method.settings]\n" + settings
    for name in ("housing", "purpose", '"支票账户"'):
        text = text.replace(f'{name} = "category"\n', "")
    (product.folder / "product.toml").write_text(text, encoding="utf-8")
    second = type(product)(product.folder, product.desk).train()
    assert second.manifest.digest.answers != first.manifest.digest.answers
    assert not second.manifest.passed
    row = as_rows(rows(1, seed=3)[0])
    answers = [next(iter(product.predict(row, bundle.version)))["scores"] for bundle in (first, second)]
    assert answers[0] != answers[1]


def test_evaluate_beside_a_live_network(tmp_path: Path) -> None:
    product = credit_product(tmp_path / "credit")
    product.deploy(product.train().version)
    report = product.evaluate(product.folder / "test.csv")
    assert report["metrics"]["accuracy"]["gains"]["live"]["value"] == 0


def test_the_network_travels_with_an_export(tmp_path: Path) -> None:
    bundle = credit_product(tmp_path / "credit").train()
    export_bundle(bundle, tmp_path / "credit.tlb")
    taken = import_bundle(tmp_path / "credit.tlb", tmp_path / "taken")
    assert list(taken.engines) == list(bundle.engines)
    (engine,) = taken.engines.values()
    assert engine.load().card.id == engine.card.id
    (taken.folder / "own" / "net" / "model.onnx").write_bytes(b"changed")
    with pytest.raises(BundleError, match="changed"):
        Bundle.open(taken.folder)


def test_a_foreign_operator_is_refused(tmp_path: Path) -> None:
    node = H.make_node("Run", ["x"], ["y"], domain="evil.corp")
    file = save(tmp_path / "m.onnx", [node], [("x", 1, ["n", 6])], [("y", 1, ["n", 2])], {})
    product = credit_product(tmp_path / "credit", network=file.read_bytes())
    with pytest.raises(BundleError, match="foreign operator"):
        product.train()


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    product, real = credit_product(tmp_path / "credit"), builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match="onnxruntime") as raised:
        product.train()
    assert "trunkline[onnx]" in raised.value.hint


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    spec = product_spec()
    with pytest.raises(SpecError, match="not there"):
        own_networks(spec, tmp_path)
    with pytest.raises(DataError, match="leaves the folder"):
        own_networks(product_spec(file="../model.onnx"), tmp_path)
    assert own_networks(spec_of(), tmp_path) == {}


def test_a_text_through_its_trunk(tmp_path: Path) -> None:
    """Whose pooled vectors go into a network of their own."""
    settings = '[method]\nname = "onnx"\n[method.settings.inputs.x]\ncolumns = ["text"]\npooled = true\n'
    product = text_product(tmp_path / "support", spec=settings, gate="gain.majority > -1")
    weights = np.random.default_rng(0).normal(size=(product.desk.cards(product.spec)[0].dim, 3))
    linear(product.folder / "model.onnx", weights, np.zeros(3))
    bundle = product.train()
    assert [card.id for card in bundle.manifest.trunks] == ["hash"]
    (answer,) = product.predict([{"text": "我的包裹还没到"}])
    assert sum(answer["scores"].values()) == pytest.approx(1)


def product_spec(task: str = "classify", columns: dict[str, str] = TABLE, **settings: Any) -> Spec:
    return spec_of(task, columns, method={"name": "onnx", "settings": settings})


def fit(spec: Spec, engine: OwnEngine) -> Candidate:
    def ask(calls: Any) -> Any:
        return [engine.run(call) if call.engine == "own:net" else encoder([call])[0] for call in calls]

    return Onnx().fit(spec, examples(spec.task), FOLDS, ask)


@pytest.mark.parametrize(
    ("task", "end", "settings"),
    [
        ("classify", "Softmax", {"labels": ["fee", "cash", "card"]}),
        ("classify", "Identity", {"holds": "logits"}),
        ("multilabel", "Sigmoid", {}),
        ("multilabel", "Identity", {"holds": "logits"}),
    ],
)
def test_every_answer_that_a_network_can_give(task: str, end: str, settings: dict[str, Any], tmp_path: Path) -> None:
    engine = OwnNetwork(linear(tmp_path / "m.onnx", [[1, 0, -1], [0, 1, 0]], [0, 0, 0], end)).load()
    taken = {"x": {"columns": ["size", "shop"], "codes": {"shop": ["a", "b"]}, "missing": 0.0, "mean": [0, 1], "scale": [1, 2]}}
    found = fit(product_spec(task, **{"inputs": taken, **settings}), engine)
    assert found.out_of_fold.values.shape == (90, 3)
    if end == "Softmax":
        plain = fit(product_spec(task, inputs=taken), engine)
        assert (found.out_of_fold.values[:, 0] == plain.out_of_fold.values[:, 2]).all(), "card is the third"


def test_a_number_for_a_number(tmp_path: Path) -> None:
    engine = OwnNetwork(linear(tmp_path / "m.onnx", [[2.0]], [1], "Identity", name="size")).load()
    taken = {"size": {"columns": ["size"], "missing": 0}}
    found = fit(product_spec("regress", {"size": "number"}, inputs=taken), engine)
    sizes = np.nan_to_num([row["size"] for row in examples("regress").inputs])
    np.testing.assert_allclose(found.out_of_fold.values, 2 * sizes + 1, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "settings", "what"),
    [
        ("classify", {"labels": ["card", "fee"]}, "labels are not the data's"),
        ("classify", {"holds": "value"}, "can't answer"),
        ("regress", {"holds": "logits"}, "can't answer"),
        ("multilabel", {"holds": "label"}, "can't answer"),
        ("classify", {"files": "x"}, "no setting"),
        ("classify", {"holds": "wisdom"}, "wrong value"),
        ("classify", {"inputs": {"x": {"columns": ["sise"]}}}, "no such column"),
        ("classify", {"inputs": {"x": {"columns": ["size"], "codes": {"shop": ["a"]}}}}, "no such column"),
        ("classify", {"inputs": {"x": {"columns": ["size", "shop"]}}}, "can't share"),
        ("classify", {"inputs": {"x": {"columns": ["size"], "mean": [1, 2]}}}, "one number for each"),
        ("classify", {"inputs": {"x": {"columns": ["size"], "scale": [0]}}}, "one number for each"),
        ("classify", {"inputs": {"x": {"columns": ["shop"], "mean": [1]}}}, "one number for each"),
        ("classify", {"inputs": {"x": {"columns": ["size"], "missing": "?"}}}, "must be a number"),
        ("classify", {"inputs": {"x": {"columns": ["size"], "pooled": True}}}, "pooled takes"),
        ("classify", {"inputs": {"shop": {"columns": ["size"]}}}, "that others take"),
    ],
)
def test_settings_that_can_not_be_meant(task: str, settings: dict[str, Any], what: str) -> None:
    with pytest.raises(TrunklineError, match=what):
        Onnx().fit(product_spec(task, **settings), examples(task), FOLDS, encoder)


def test_it_is_only_for_who_brings_a_network() -> None:
    assert isinstance(Onnx().can(spec_of("classify", {"size": "number"}), examples()), Refused)
    assert Onnx().can(product_spec(), examples()) is None
    image = msgspec.structs.replace(product_spec(), inputs={"size": "image"})
    assert isinstance(Onnx().can(image, examples()), Refused)

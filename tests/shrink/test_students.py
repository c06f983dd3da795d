"""Smaller networks that a product teaches, and narrower trunks."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

import torch
from tests.berts import bert_folder
from tests.methods.texts import spec_of
from tests.products import text_product, write_rows
from tests.trunks.test_adapted import lora, parts_of, vectors

from trunkline.heads.links import apply_link
from trunkline.methods.adapt import FinetuneSettings
from trunkline.networks.text_encoder import TextEncoder, padded
from trunkline.product import Product
from trunkline.shrink import measure, run, students
from trunkline.shrink.teach import scores_of
from trunkline.shrink.weights import fewer_layers, merged, narrower
from trunkline.terminal import SILENT
from trunkline.training.losses import taught
from trunkline.trunks.adapted import Adapted, adapted
from trunkline.types import Estimate


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRUNKLINE_THREADS", "1")
    two = Estimate(2.0, 2.0, 2.0, 9)
    monkeypatch.setattr(run, "_costs", lambda job, stand: measure.Costs(two, two, two))


@pytest.fixture
def base(tmp_path: Path) -> str:
    return f"folder:{bert_folder(tmp_path / 'bert')}"


def test_the_loss_by_hand() -> None:
    mine, theirs = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    t = 2.0
    first = sum(0.5 * math.log(0.5 / p) for p in (math.e / (1 + math.e), 1 / (1 + math.e)))  # scores / T: 1 and 0
    p = math.exp(2) / (1 + math.exp(2))
    second = p * math.log(p / 0.5) + (1 - p) * math.log((1 - p) / 0.5)
    assert float(taught(mine, theirs, "softmax", t)) == pytest.approx(t * t * (first + second) / 2, rel=1e-5)
    for link in ("softmax", "labels", "logistic", "identity"):
        assert float(taught(theirs, theirs, link, t)) == pytest.approx(0, abs=1e-6)
    yes, teacher = torch.tensor([[0.0]]), torch.tensor([[2.0]])
    p = math.e / (1 + math.e)
    wanted = t * t * (p * math.log(p / 0.5) + (1 - p) * math.log((1 - p) / 0.5))
    assert float(taught(yes, teacher, "logistic", t)) == pytest.approx(wanted, rel=1e-5)
    assert float(taught(torch.tensor([[1.0]]), torch.tensor([[4.0]]), "identity", t)) == 9


def test_the_gradient_does_not_shrink_with_the_temperature() -> None:
    """What T squared is for (Hinton 2015, section 2.1): the gradient tends to (scores - teacher's) / k for a large T."""
    teacher = torch.tensor([[0.3, -0.1, -0.2]])
    for t in (20.0, 200.0):
        mine = torch.tensor([[-0.2, 0.1, 0.1]], requires_grad=True)
        taught(mine, teacher, "softmax", t).backward()
        assert mine.grad is not None
        assert mine.grad.numpy() == pytest.approx(((mine - teacher) / 3).detach().numpy(), abs=0.01)


@pytest.mark.parametrize(("link", "k"), [("softmax", 3), ("labels", 3), ("logistic", 1), ("identity", 1)])
def test_scores_give_the_values_they_were_taken_from(link: str, k: int) -> None:
    values = apply_link(link, np.random.default_rng(0).normal(0, 3, (20, k)))
    assert apply_link(link, scores_of(link, values).astype(np.float64)) == pytest.approx(values, abs=1e-5)
    assert np.isfinite(scores_of(link, np.rint(values))).all(), "a teacher that is certain"


SUBJECTS = {"delivery": "my parcel is lost", "refund": "why this fee", "password": "no login came out"}
TAILS = ("please", "again", "help", "today", "since monday", "thanks")


def said(n: int) -> list[tuple[str, str]]:
    """(text, label), which a tiny BERT of random weights learns to tell apart."""
    names = list(SUBJECTS)
    return [(f"{SUBJECTS[names[i % 3]]} {TAILS[i % 5]} {i}", names[i % 3]) for i in range(n)]


def product_on(base: str, folder: Path, method: str, rows: int = 150) -> Product:
    settings = "epochs = 12\nbatch = 8\nfolds = 2\nrate = 0.006\ndropout = 0.0\npatience = 0\n"
    text_product(folder, rows, spec=f'[method]\nname = "{method}"\n[method.settings]\n{settings}')
    write_rows(folder / "train.csv", ["text", "label"], said(rows))
    write_rows(folder / "test.csv", ["text", "label"], [(f"{text} {text}", label) for text, label in said(30)])
    path = folder / "product.toml"
    path.write_text(path.read_text("utf-8").replace('text = "hash"', f'text = "{base}"'), "utf-8")
    product = Product(folder)
    product.train()
    return product


class _Quick(FinetuneSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    rate: float = 0.006
    batch: int = 8


def test_a_product_teaches_smaller_ones(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(students, "FinetuneSettings", _Quick)
    product = product_on(base, tmp_path / "p", "finetune")
    write_rows(tmp_path / "more.csv", ["text"], [[f"{text} too"] for text, _ in said(60)])
    found = product.shrink(loss=100, only=["pruned", "head", "words", "layers"], rows=tmp_path / "more.csv")
    pruned, head, words, layers = found.tried
    assert layers.why == "it has a single layer"
    assert [each.why for each in (pruned, head, words)] == ["", "", ""]
    assert head.size_bytes < pruned.size_bytes < found.size_before
    assert pruned.loss is not None
    assert pruned.loss.before.value > 0.6
    assert pruned.loss.after.value > pruned.loss.before.value - 0.3
    assert words.loss is not None
    assert words.loss.after.value > 0.6
    assert head.made is not None
    assert not head.made.stand.networks
    assert found.chosen == "head", "of equal speed the smallest"
    assert found.bundle is not None
    assert (found.bundle.manifest.method, found.bundle.networks) == ("linear", {})
    assert len(found.bundle.report["epochs"]) > 1
    assert next(product.predict([{"text": "my parcel is lost again"}], found.bundle.version))["label"]

    assert pruned.made is not None
    own = pruned.made.stand.networks["own:net"]
    assert isinstance(own, Adapted)
    shapes = {name: array.shape for name, array in own.arrays().items()}
    assert shapes["encoder.layer.0.attention.self.query.weight"] == (8, 16)
    assert shapes["encoder.layer.0.output.dense.weight"] == (16, 16)


def test_a_head_on_a_trunk_teaches_a_network_of_words(tmp_path: Path) -> None:
    product = text_product(tmp_path / "p", 210)
    product.train()
    found = product.shrink(loss=100, only=["head", "layers", "words"])
    head, layers, words = found.tried
    assert "can't be learned further" in head.why
    assert "can't be learned further" in layers.why
    assert words.loss is not None
    assert words.loss.before.n == found.rows > 20
    assert found.bundle is not None
    assert found.bundle.manifest.method == "cnn1d"


def test_a_row_without_an_answer_that_is_judged_by_teaches_nothing(tmp_path: Path) -> None:
    from trunkline.line.train import check
    from trunkline.shrink.job import Job, calibrating
    from trunkline.shrink.teach import lessons

    product = text_product(tmp_path / "p")
    bundle = product.train()
    line = product._line(SILENT)
    checked = check(line)
    test = list(checked.loaded.test.inputs)
    job = Job(line, bundle, checked, calibrating(checked.loaded.train, "classify", 0), [*test, {"text": "a new one"}])
    given = lessons(job)
    assert len(given.examples) == len(job.train) + 1
    assert given.scores.shape == (len(given.examples), 3)
    assert len(set(given.fit) & set(given.held)) == 0
    assert set(given.fit) | set(given.held) == set(range(len(given.examples)))


def test_a_narrower_trunk_equals_the_whole_one_with_the_rest_masked(base: str, tmp_path: Path) -> None:
    parts = parts_of(base)
    small = narrower(parts)
    size = 8
    kept = [small.weight(f"encoder.layer.0.{part}").shape for part in ("attention.self.value.weight", "intermediate.dense.weight")]
    assert kept == [(size, 16), (16, 16)]

    def masked(name: str) -> Any:
        found = np.array(parts.weight(name))
        if name in ("encoder.layer.0.attention.output.dense.weight", "encoder.layer.0.output.dense.weight"):
            stays = {column.tobytes() for column in small.weight(name).T}
            for at in range(found.shape[1]):
                if np.ascontiguousarray(found[:, at]).tobytes() not in stays:
                    found[:, at] = 0
        return found

    ids, mask = padded(parts.tokenizer.encode(["my card is lost", "why", "the parcel came late again"]))
    with torch.no_grad():
        found, wanted = (TextEncoder(each).eval().vectors(ids, mask).numpy() for each in (small, replace(parts, weight=masked)))
    assert found == pytest.approx(wanted, abs=1e-5)
    assert sum(p.numel() for p in TextEncoder(small).bert.encoder.parameters()) < 0.6 * sum(
        p.numel() for p in TextEncoder(parts).bert.encoder.parameters()
    )


def test_the_heads_and_columns_of_the_largest_weights_stay(base: str) -> None:
    parts = parts_of(base)

    def weight(name: str) -> Any:
        found = np.array(parts.weight(name))
        if name.endswith("self.value.weight"):
            found[:8] = 0.001 * found[:8]  # the first of two heads
        if name.endswith("layer.0.output.dense.weight"):
            found[:, ::2] = 0.001 * found[:, ::2]
        return found

    small = narrower(replace(parts, weight=weight))
    assert np.array_equal(small.weight("encoder.layer.0.attention.self.query.weight"), weight("encoder.layer.0.attention.self.query.weight")[8:])
    assert np.array_equal(small.weight("encoder.layer.0.intermediate.dense.bias"), weight("encoder.layer.0.intermediate.dense.bias")[1::2])


def test_merged_weights_answer_as_the_adapter_does(base: str, tmp_path: Path) -> None:
    own = adapted(base, "lora", lora(parts_of(base), 2, 0.2), tmp_path)
    parts = merged(own)
    module = TextEncoder(parts).eval()
    words = ["my card is lost", "why", "the parcel came late again"]
    with torch.no_grad():
        found = module.vectors(*padded(module.tokens(words))).numpy()
    assert found == pytest.approx(vectors(own.load(), words), abs=2e-3)
    assert np.abs(found - vectors(adapted(base, "full", {}, tmp_path).load(), words)).max() > 0.01


def test_layers_are_taken_at_even_steps(base: str) -> None:
    parts = parts_of(base)
    asked: list[str] = []

    def weight(name: str) -> Any:
        asked.append(name)
        return np.zeros(1)

    twelve = replace(parts, shape=replace(parts.shape, layers=12), weight=weight)
    few = fewer_layers(twelve, 3)
    assert few.shape.layers == 3
    for layer in range(3):
        few.weight(f"encoder.layer.{layer}.output.dense.bias")
    few.weight("embeddings.LayerNorm.bias")
    assert [name.split(".")[2] for name in asked[:3]] == ["0", "6", "11"]
    assert asked[3] == "embeddings.LayerNorm.bias"


def test_what_can_not_be_taught_says_so() -> None:
    class Job:
        spec = spec_of("classify", {"a": "number"})
        own = None

    for form in (students.head, students.words, students.layers, students.pruned):
        assert "one text column" in form(Job()).message  # type: ignore[arg-type, union-attr]

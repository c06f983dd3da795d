"""The method `contrastive`: its loss, its draws, and products of a few rows a class."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("peft", reason="peft is not installed")

import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.berts import bert_folder
from tests.methods.texts import spec_of
from tests.products import write_rows
from tests.training.test_adapted_products import SUBJECTS, ask_of, no_trunk, said

from trunkline.errors import SpecError
from trunkline.heads import HEADS
from trunkline.methods.contrastive import STEPS, Contrasting, Contrastive, ContrastiveSettings, drawing, drawn
from trunkline.methods.learning import answered
from trunkline.networks.adapted import Vectors
from trunkline.networks.text_encoder import padded
from trunkline.product import Product
from trunkline.program import one
from trunkline.spec import Spec
from trunkline.tasks import TASKS
from trunkline.training.losses import contrastive
from trunkline.trunks import find
from trunkline.trunks.adapted import Adapted
from trunkline.types import Candidate, Examples, Refused

QUICK: dict[str, Any] = {"epochs": 8, "batch": 12, "rate": 0.006, "folds": 2, "dropout": 0.0}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"folder:{bert_folder(tmp_path_factory.mktemp('bert'))}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))


def spec_for(base: str, **more: Any) -> Spec:
    return spec_of("classify", {"text": "text"}, method={"name": "contrastive", "settings": {**QUICK, **more}}, trunks={"text": base})


def made(known: Examples, base: str, **more: Any) -> Candidate:
    spec, part = spec_for(base, **more), Contrastive()
    assert part.can(spec, known) is None
    return part.fit(spec, known, TASKS.get("classify")().folds(known, 5, 0), no_trunk)


def learned(known: Examples, base: str) -> tuple[Contrasting, Any, Any]:
    spec = spec_for(base)
    how = drawing(msgspec.convert(QUICK, ContrastiveSettings), np.bincount(known.target))
    learn = Contrasting(spec, known, how, Contrastive().material(spec, known, no_trunk, how), Contrastive.progress)
    before = learn.material.build(1)
    return learn, before, learn(np.arange(len(known)), "all rows")[0]


def test_the_loss_by_hand() -> None:
    """Two of one class at a right angle, one of another in between; lengths don't count."""
    vectors = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
    near = math.exp(math.sqrt(0.5) / 0.5)  # cosine of the third to either, temperature 0.5
    wanted = -math.log(1 / (1 + near))  # exp(0) over all others; the third has no fellow and doesn't count
    assert float(contrastive(vectors, torch.tensor([0, 0, 1]), 0.5)) == pytest.approx(wanted, rel=1e-6)
    assert wanted == pytest.approx(1.63184, abs=1e-5)
    # all of one class: the mean over both fellows of each row
    first, third = math.log(1 + near) - math.log(near) / 2, math.log(2 * near) - math.log(near)
    assert float(contrastive(vectors, torch.tensor([4, 4, 4]), 0.5)) == pytest.approx((2 * first + third) / 3, rel=1e-6)


def test_the_loss_without_fellows_is_zero_and_moves_nothing() -> None:
    for rows in (1, 3):
        vectors = torch.eye(3)[:rows].requires_grad_()
        loss = contrastive(vectors, torch.arange(rows), 0.05)
        loss.backward()
        assert float(loss.detach()) == 0
        assert vectors.grad is not None
        assert torch.equal(vectors.grad, torch.zeros(rows, 3))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(2, 4), st.integers(0, 60), st.integers(0, 9))
def test_a_draw_has_as_many_classes_as_fit_and_as_many_rows_of_each(sizes: list[int], each: int, room: int, seed: int) -> None:
    ends = np.cumsum(sizes)
    classes = [np.arange(end - size, end) for end, size in zip(ends.tolist(), sizes, strict=True)]
    numbers = np.random.default_rng(seed).permutation(1000)[:room]
    rows, which = drawn(classes, each, numbers)
    assert len(np.unique(which)) == min(len(sizes), max(1, room // each))
    for number in np.unique(which).tolist():
        own = rows[which == number]
        assert len(own) == each
        assert set(own.tolist()) <= set(classes[number].tolist())
        assert len(set(own.tolist())) == min(each, sizes[number])


@pytest.mark.parametrize(
    ("counts", "batch", "each", "folds"),
    [([8] * 77, 64, 2, 5), ([8, 8], 16, 8, 5), ([64] * 4, 64, 16, 2), ([2] * 3, 6, 2, 5), ([64] * 200, 64, 2, 2)],
)
def test_a_batch_holds_many_classes_and_steps_are_bounded(counts: list[int], batch: int, each: int, folds: int) -> None:
    how = drawing(ContrastiveSettings(), np.array(counts))
    assert (how.batch, how.each, how.folds) == (batch, each, folds)
    a_pass = math.ceil(sum(counts) / how.batch)
    assert STEPS[0] <= how.epochs * a_pass < STEPS[1] + a_pass


def test_texts_of_one_class_come_closer_than_others(base: str) -> None:
    known = said(n=24)
    learn, before, after = learned(known, base)

    def gap(module: Any) -> float:
        vectors = answered(module, learn.material, np.arange(len(known)))
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        alike = known.target[:, None] == known.target[None]
        cosines, other = unit @ unit.T, ~np.eye(len(unit), dtype=bool)
        return float(cosines[alike & other].mean() - cosines[~alike].mean())

    assert gap(after) > gap(before) + 0.1


def test_what_is_learned_is_answered_and_saved(base: str) -> None:
    known = said(n=36)
    found = made(known, base)
    ask = ask_of(found)
    values = one(found.head.run(known.inputs), ask).values
    assert found.out_of_fold.values.shape == values.shape == (36, 3)
    assert (values.argmax(1) == known.target).mean() == 1
    assert (found.out_of_fold.values.argmax(1) == known.target).mean() > 0.8
    assert found.settings["cosine"] > 0.999
    again = HEADS.get(found.head.format).load(*found.head.save())
    assert np.array_equal(one(again.run(known.inputs), ask).values, values)
    own = found.networks["own:net"]
    assert isinstance(own, Adapted)
    assert own.about.kind == "full"


def test_texts_of_like_length_go_together_and_come_back_in_their_places(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each went alone; a batch's longest text makes no other longer."""
    trunk: Any = find(base)
    module = Vectors(trunk.parts(), 0.0).eval()
    rng = np.random.default_rng(0)
    texts = [rng.integers(5, 20, length).tolist() for length in rng.permutation(np.arange(2, 42))]
    with torch.no_grad():
        alone = torch.cat([module.encoder.vectors(*padded([text])) for text in texts])
        sizes: list[tuple[int, ...]] = []
        vectors = module.encoder.vectors

        def counted(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            sizes.append(tuple(ids.shape))
            return vectors(ids, mask)

        monkeypatch.setattr(module.encoder, "vectors", counted)
        together = module(*padded(texts))
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert sizes == [(16, 17), (16, 33), (8, 41)]


def test_two_classes_and_a_class_of_two_rows(base: str) -> None:
    known = said(n=24)
    pair = known.take(np.concatenate([np.flatnonzero(known.target == 0), np.flatnonzero(known.target == 1)[:2]]))
    pair = Examples(pair.inputs, pair.target, known.labels[:2], pair.keys, np.arange(len(pair)))
    found = made(pair, base, epochs=2)
    assert found.out_of_fold.values.shape == (10, 2)
    assert np.isfinite(found.out_of_fold.values).all()


def test_a_row_is_never_answered_by_a_trunk_that_learned_it(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known, seen = said(n=24), []
    learn = Contrasting.__call__

    def watched(self: Contrasting, rows: Any, name: str) -> Any:
        seen.append(rows)
        return learn(self, rows, name)

    monkeypatch.setattr(Contrasting, "__call__", watched)
    made(known, base, epochs=1)
    *parts, whole = seen
    assert len(whole) == len(known)
    assert sorted(np.concatenate([np.setdiff1d(whole, rows) for rows in parts]).tolist()) == list(range(len(known)))


def test_learning_twice_gives_the_same(base: str) -> None:
    first, second = (made(said(n=24), base, epochs=2, dropout=0.1) for _ in range(2))
    assert first.networks["own:net"].card.id == second.networks["own:net"].card.id
    assert np.array_equal(first.out_of_fold.values, second.out_of_fold.values)


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"temperature": 0}, "temperature"), ({"batch": 2}, "batch"), ({"pairs": 20}, "'pairs'"), ({"loss": "focal"}, "'loss'")],
)
def test_wrong_settings_are_named(settings: dict[str, Any], told: str, base: str) -> None:
    with pytest.raises(SpecError, match=told):
        made(said(n=12), base, **settings)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"inputs": {"text": "text", "note": "text"}}, "one column of kind text"),
        ({"trunks": {"text": "none"}}, "needs a text trunk"),
        ({"method": {"name": "auto"}}, "only a product that names it"),
        ({"task": "regress"}, "not regress"),
    ],
)
def test_what_it_can_not_do_it_says(spec: dict[str, Any], why: str) -> None:
    wanted = spec_of(**{"task": "classify", "inputs": {"text": "text"}, "method": {"name": "contrastive"}, **spec})
    refused = Contrastive().can(wanted, said(wanted.task))
    assert isinstance(refused, Refused)
    assert why in refused.message


def test_one_row_of_a_class_is_too_few_and_many_are_for_who_names_it(base: str) -> None:
    known = said(n=300)
    assert Contrastive().can(spec_for(base), known) is None
    unnamed = spec_of("classify", {"text": "text"}, trunks={"text": base})
    refused = Contrastive().can(unnamed, known)
    assert refused is not None
    assert "64 rows a class" in refused.message
    alone = np.concatenate([np.flatnonzero(known.target != 1), np.flatnonzero(known.target == 1)[:1]])
    refused = Contrastive().can(spec_for(base), known.take(alone))
    assert refused is not None
    assert "'fee' has one" in refused.message


def test_from_files_to_a_bundle_that_answers(base: str, tmp_path: Path) -> None:
    known = said(n=60)
    (folder := tmp_path / "help").mkdir()
    rows = [[row["text"], known.labels[s]] for row, s in zip(known.inputs, known.target.tolist(), strict=True)]
    write_rows(folder / "train.csv", ["text", "label"], rows)
    settings = "".join(f"{name} = {value}\n" for name, value in QUICK.items())
    (folder / "product.toml").write_text(
        f'name = "help"\ntask = "classify"\nlabel = "label"\n[inputs]\ntext = "text"\n[trunks]\ntext = "{base}"\n'
        f'[method]\nname = "contrastive"\n[method.settings]\n{settings}[gate]\nrules = ["gain.majority.low > 0"]\n'
    )
    product = Product(folder)
    bundle = product.train()
    assert bundle.manifest.passed
    assert {"own/net/adapted.json", "own/net/weights.safetensors"} <= set(bundle.manifest.files)
    assert bundle.report["rungs"][0]["method"] == "contrastive"
    answers = product.predict([{"text": f"{text} again"} for text in SUBJECTS.values()])
    assert [answer["label"] for answer in answers] == list(SUBJECTS)

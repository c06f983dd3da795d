"""Products on a trunk as one network: against the trunk's own engine, and how large."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from tests.berts import bert_folder
from tests.exporting import parts

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from trunkline.bundle import Bundle
from trunkline.errors import BundleError
from trunkline.exporting.needs import EXAMPLES, TOKENIZER, Needs, Tokens
from trunkline.exporting.portable import export_for
from trunkline.heads.linear import LexicalPart, LinearHead
from trunkline.lexical import Lexicon
from trunkline.trunks import find
from trunkline.trunks.adapted import adapted
from trunkline.trunks.bert_graph import linears
from trunkline.trunks.owned import packed
from trunkline.types import Call, Decision


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A small encoder with MiniLM's tokenizer, converted in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUNKLINE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield f"folder:{bert_folder(tmp_path_factory.mktemp('bert'))}"


def exported(bundle: Bundle, tmp_path: Path) -> tuple[Needs, Path, list[dict[str, Any]]]:
    needs = export_for(bundle, "phone", tmp_path / "out", parts.desk(tmp_path))
    return needs, tmp_path / "out", json.loads((tmp_path / "out" / EXAMPLES).read_bytes())


def run(folder: Path, example: dict[str, Any], needs: Needs) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(str(folder / needs.network.file), providers=["CPUExecutionProvider"])
    feed = {name: np.array([cells], np.int64) for name, cells in example["inputs"].items()}
    return [output[0] for output in session.run([output.name for output in needs.outputs], feed)]


def test_a_linear_head_on_an_encoder_with_how_far_a_row_lies_out(bert: str, tmp_path: Path) -> None:
    bundle = parts.on_trunk(tmp_path, bert, decision=Decision(temperature=1.3, outside_above=0.9))
    needs, folder, examples = exported(bundle, tmp_path)
    assert needs.check.largest_difference < 1e-4
    assert [output.name for output in needs.outputs] == ["probabilities", "outside"]
    engine, head, far = find(bert).load(), bundle.head(), []
    for example in examples:
        given, outside = run(folder, example, needs)
        assert np.abs(given - list(example["answer"]["scores"].values())).max() < 1e-4
        program = head.run([example["row"]])
        with pytest.raises(StopIteration) as end:
            next(program), program.send([engine.run(Call("x", [example["row"]["text"]]))])
        assert outside == pytest.approx(end.value.value.outside[0], abs=1e-4)
        far.append(example["answer"]["status"] == "out_of_scope")
    assert set(far) == {True, False}


def test_tokens_say_how_a_text_becomes_them(bert: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    needs, folder, examples = exported(parts.on_trunk(tmp_path, bert), tmp_path)
    (read,) = needs.reads
    assert isinstance(read, Tokens)
    own = Tokenizer.from_file(str(folder / TOKENIZER))
    for example in examples:
        ids = own.encode(read.prefix + example["row"]["text"][: read.characters], add_special_tokens=False).ids
        room = read.longest - len(read.before) - len(read.after)
        assert [*read.before, *ids[:room], *read.after] == example["inputs"]["ids"]


def test_a_batch_that_is_padded_gives_the_rows_their_own_answers(bert: str, tmp_path: Path) -> None:
    needs, folder, examples = exported(parts.on_trunk(tmp_path, bert), tmp_path)
    session = onnxruntime.InferenceSession(str(folder / needs.network.file), providers=["CPUExecutionProvider"])
    rows = [example["inputs"]["ids"] for example in examples]
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row)], mask[at, : len(row)] = row, 1
    (together,) = session.run(["probabilities"], {"ids": ids, "mask": mask})
    assert np.abs(together - [list(e["answer"]["scores"].values()) for e in examples]).max() < 1e-4


def test_an_mlp_head(bert: str, tmp_path: Path) -> None:
    card = find(bert).card
    head = parts.mlp_head(f"trunk:{bert}", "text", card.dim)
    bundle = parts.frozen(tmp_path / "v1", {"text": "text"}, head, Decision(thresholds=(0.4, 0.5, 0.6)), task="multilabel", cards=(card,))
    needs, _, _ = exported(bundle, tmp_path)
    assert needs.check.largest_difference < 1e-4


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_trunk_that_was_adapted(kind: Any, bert: str, tmp_path: Path) -> None:
    trunk: Any = find(bert)
    own, rng = trunk.parts(), np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name in linears(own.shape):
        outputs, inputs = own.weight(f"{name}.weight").shape
        if kind == "lora":
            arrays |= {f"{name}.A": rng.normal(0, 0.3, (2, inputs)), f"{name}.B": rng.normal(0, 0.3, (outputs, 2))}
        else:
            arrays[f"{name}.weight"] = own.weight(f"{name}.weight") + rng.normal(0, 0.2, (outputs, inputs)).astype(np.float32)
    made = adapted(bert, kind, arrays, tmp_path / "made")
    files = packed(made, Call("own:net", ["a"]))
    bundle = parts.frozen(tmp_path / "v1", {"text": "text"}, parts.linear_head("own:net", "text", made.card.dim), files=files)
    needs, _, _ = exported(bundle, tmp_path)
    assert needs.check.largest_difference < 1e-3


def test_minilm_is_as_small_as_served_and_near_it(tmp_path: Path) -> None:
    refused = find("minilm").available()
    if refused is not None:
        pytest.skip(refused.message)
    needs, _, _ = exported(parts.on_trunk(tmp_path, "minilm"), tmp_path)
    assert needs.network.bytes < 36e6
    assert 0 < needs.check.largest_difference < 0.05
    assert "DequantizeLinear" in needs.network.operators[""]
    assert "minilm: Apache-2.0" in needs.licence[0]


def test_efficientnet_takes_pixels(tmp_path: Path) -> None:
    refused = find("efficientnet-lite0").available()
    if refused is not None:
        pytest.skip(refused.message)
    needs, _, _ = exported(parts.on_trunk(tmp_path, "efficientnet-lite0", "image"), tmp_path)
    assert needs.check.largest_difference < 1e-4
    assert needs.network.bytes < 15e6
    assert (needs.reads[0].type, needs.reads[0].shape) == ("uint8", ("rows", 3, 224, 224))


@pytest.mark.parametrize(("trunk", "words"), [("hash", "the trunk hash has no graph"), ("e5-small-f32", "250,000 pieces")])
def test_trunks_that_can_not_go_say_why(trunk: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="can't be exported") as caught:
        exported(parts.on_trunk(tmp_path, trunk), tmp_path)
    assert words in str(caught.value)


def test_n_grams_beside_a_trunk_say_why(tmp_path: Path) -> None:
    lexicon = Lexicon(np.array([1, 2], np.uint32), np.ones(2, np.float16))
    lexical = LexicalPart(("text",), lexicon, np.ones((2, 3), np.int8), np.ones(3, np.float32))
    bundle = parts.frozen(tmp_path / "v1", {"text": "text"}, LinearHead("softmax", np.zeros(3, np.float32), None, lexical))
    with pytest.raises(BundleError, match="can't be exported") as caught:
        exported(bundle, tmp_path)
    assert "counts n-grams" in str(caught.value)

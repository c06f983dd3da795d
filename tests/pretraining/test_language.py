"""Masked-language pretraining: what is hidden, that it learns, and that the new trunk is served and named by products."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests.berts import bert_folder

from trunkline.cli import main
from trunkline.errors import DataError, TrunkError, TrunklineError
from trunkline.trunks import find
from trunkline.trunks.learned import FILE, WEIGHTS
from trunkline.types import Call

torch = pytest.importorskip("torch")

from trunkline.networks.masked_language import MASKED, RANDOM, MaskedLanguage, hide  # noqa: E402
from trunkline.networks.text_encoder import TextEncoder, padded  # noqa: E402
from trunkline.pretraining.language import Settings, pretrain  # noqa: E402
from trunkline.pretraining.texts import block_of, pieces_of, read_texts  # noqa: E402

WORDS = ("the red card was lost", "a blue bill came late", "my green phone fell down", "his old boat sank fast")
TEXTS = [f"{WORDS[i % 4]} again in the year {1900 + i}" for i in range(240)]  # each word tells its neighbours


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))


@given(st.integers(0, 1_000))
def test_only_a_texts_own_tokens_are_hidden_and_one_at_least(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.integers(10, 50, (6, 9))
    own = rng.random(ids.shape) < 0.6
    given_ids, chosen = hide(ids, own, range(100, 120), 7, rng)
    assert not (chosen & ~own).any()
    assert (chosen.any(axis=1) == own.any(axis=1)).all()
    assert (given_ids[~chosen] == ids[~chosen]).all()
    changed = given_ids[chosen & (given_ids != ids)]
    assert all(each == 7 or 100 <= each < 120 for each in changed.tolist())


def test_shares_of_what_is_hidden_are_berts() -> None:
    ids = np.full((400, 500), 5)
    given_ids, chosen = hide(ids, np.ones(ids.shape, bool), range(1_000, 9_000), 7, np.random.default_rng(0))
    assert chosen.mean() == pytest.approx(0.15, abs=0.005)
    assert (given_ids[chosen] == 7).mean() == pytest.approx(MASKED, abs=0.01)
    assert (given_ids[chosen] >= 1_000).mean() == pytest.approx(RANDOM, abs=0.01)
    assert (given_ids[chosen] == 5).mean() == pytest.approx(0.1, abs=0.01)


def test_scores_are_of_hidden_places_only_by_the_tied_words(tmp_path: Path) -> None:
    parts = find(f"folder:{bert_folder(tmp_path / 'bert')}").parts()  # type: ignore[attr-defined]
    torch.manual_seed(0)
    words = np.array([1_000, 2_000, 3_000])
    module = MaskedLanguage(TextEncoder(parts), words, np.array([3, 0, 5])).eval()
    ids, mask = padded([[101, 1_000, 2_000, 102], [101, 3_000, 102]])
    chosen = torch.zeros(ids.shape, dtype=torch.bool)
    chosen[0, 2] = chosen[1, 1] = True
    with torch.no_grad():
        found = module(ids, mask, chosen)
        states = module.encoder(ids, mask)
        said = module.norm(torch.nn.functional.gelu(module.dense(torch.stack([states[0, 2], states[1, 1]]))))
        wanted = said @ torch.from_numpy(parts.words.rows(words)).T + torch.tensor([math.log(4 / 11), math.log(1 / 11), math.log(6 / 11)])
    torch.testing.assert_close(found, wanted)


def test_long_texts_go_in_pieces_and_no_token_is_lost(tmp_path: Path) -> None:
    tokenizer = find(f"folder:{bert_folder(tmp_path / 'bert')}").parts().tokenizer  # type: ignore[attr-defined]
    text = " ".join(f"word {i}" for i in range(90))
    pieces = list(pieces_of(text, tokenizer))
    assert len(pieces) > 1
    ids, mask, own = block_of(pieces)
    assert ids[own].tolist() == tokenizer.pieces(text).ids
    assert max(len(each.ids) for each in pieces) <= 64
    assert (mask.sum(axis=1) == [len(each.ids) for each in pieces]).all()


def test_perplexity_falls_and_the_new_trunk_is_served(tmp_path: Path, one_thread: None) -> None:
    base, out = f"folder:{bert_folder(tmp_path / 'bert')}", tmp_path / "mine"
    found = pretrain(base, TEXTS, out, Settings(epochs=20, batch=8, rate=5e-3, dropout=0))
    assert found.after < 0.8 * found.before
    assert found.after < 0.5 * found.unigram
    told = json.loads((out / FILE).read_text())["record"]["perplexity"]
    assert (told["before"], told["after"]) == (found.before, found.after)
    trunk, texts = find(f"folder:{out}"), ["my green phone", "the red card was lost"]
    served = np.asarray(trunk.load().run(Call("trunk", texts)))
    module = TextEncoder(trunk.parts()).eval()  # type: ignore[attr-defined]
    with torch.no_grad():
        wanted = module.vectors(*padded(module.tokens(texts))).numpy()
    np.testing.assert_allclose(served, wanted, atol=1e-5)
    assert not np.allclose(served, find(base).load().run(Call("trunk", texts)), atol=1e-2)
    assert trunk.card.fingerprint != find(base).card.fingerprint
    with pytest.raises(TrunklineError, match="exists already"):
        pretrain(base, TEXTS, out, Settings())
    again = pretrain(f"folder:{out}", TEXTS, tmp_path / "further", Settings(epochs=1))  # a learned trunk can be learned on
    assert again.before < found.before


def test_a_learned_trunk_that_was_changed_or_lost_its_base_is_refused(tmp_path: Path, one_thread: None) -> None:
    bert, out = bert_folder(tmp_path / "bert"), tmp_path / "mine"
    pretrain(f"folder:{bert}", TEXTS[:40], out, Settings(epochs=1))
    content = (out / WEIGHTS).read_bytes()
    (out / WEIGHTS).write_bytes(content[:-4] + b"abcd")
    with pytest.raises(TrunkError, match="missing or altered"):
        find(f"folder:{out}").parts()  # type: ignore[attr-defined]
    (out / WEIGHTS).write_bytes(content)
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}))
    with pytest.raises(TrunkError, match="not the trunk"):
        find(f"folder:{out}").card  # noqa: B018
    (out / FILE).write_text("{}")
    with pytest.raises(TrunkError, match="can't be read"):
        find(f"folder:{out}").card  # noqa: B018


def test_texts_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,review,answer\n1,good,thanks\n2,,none\n3,bad,sorry\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("one line\n\n好的\n", encoding="utf-8")
    assert read_texts([tmp_path / "a.csv", tmp_path / "b.txt"], ["review"]) == ["good", "bad", "one line", "好的"]
    assert read_texts([tmp_path / "a.csv"], ["review", "answer"]) == ["good", "thanks", "none", "bad", "sorry"]
    with pytest.raises(DataError, match="lacks a column") as caught:
        read_texts([tmp_path / "a.csv"], ["revew"])
    assert "review" in caught.value.hint
    with pytest.raises(DataError, match="which column"):
        read_texts([tmp_path / "a.csv"], [])
    (tmp_path / "none.csv").write_text("review\n", encoding="utf-8")
    with pytest.raises(DataError, match="no texts"):
        read_texts([tmp_path / "none.csv"], ["review"])


def test_the_command_makes_a_trunk_that_a_product_learns_on(tmp_path: Path, one_thread: None) -> None:
    bert = bert_folder(tmp_path / "bert")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    options = ["--to", str(tmp_path / "mine"), "--from", f"folder:{bert}", "--epochs", "1", "--json"]
    done = CliRunner().invoke(main, ["pretrain", str(tmp_path / "texts.txt"), *options])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["texts"] == len(TEXTS)
    assert set(told["perplexity"]) == {"unigram", "before", "after"}
    for name in ("colours", "again"):
        place = tmp_path / name
        place.mkdir()
        rows = "\n".join(f'"{text}",{"warm" if "red" in text or "old" in text else "cold"}' for text in TEXTS)
        (place / "train.csv").write_text(f"text,label\n{rows}\n", encoding="utf-8")
        (place / "product.toml").write_text(
            f'name = "{name}"\ntask = "classify"\nlabel = "label"\n[inputs]\ntext = "text"\n[method]\nname = "linear"\n'
            f'[trunks]\ntext = "folder:{tmp_path / "mine"}"\n'
        )
    done = CliRunner().invoke(main, ["train", str(tmp_path / "colours"), "--json"])
    assert done.exit_code == 0, done.output
    failed = CliRunner().invoke(main, ["pretrain", str(tmp_path / "texts.txt"), *options])
    assert (failed.exit_code, "exists already" in failed.output) == (2, True)


def test_the_command_makes_a_start_of_pictures(tmp_path: Path, one_thread: None) -> None:
    from PIL import Image as Pillow

    (tmp_path / "photos" / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for at in range(60):
        Pillow.fromarray(rng.integers(0, 255, (12, 12, 3)).astype(np.uint8)).save(tmp_path / "photos" / "deep" / f"{at}.png")
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG")
    options = ["--to", str(tmp_path / "start"), "--side", "16", "--epochs", "1", "--json"]
    done = CliRunner().invoke(main, ["pretrain", str(tmp_path / "photos"), *options])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["pictures"], told["refused"], len(told["loss"])) == (60, 1, 1)

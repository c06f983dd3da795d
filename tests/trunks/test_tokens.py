"""The form `tokens`: which characters of the text, as it was given, each vector stands for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.engines.windows import windows
from trunkline.trunks.e5 import E5Small
from trunkline.trunks.sentencepiece import SentencePiece
from trunkline.types import Call, Engine

NAMES = ("e5-small", "minilm", "hash")
_PARTS = st.sampled_from(
    ["card", "卡", "房间", "很干净", "e\u0301tude", "naïve", "😀", "👨\u200d👩\u200d👧", "ＡＢＣ", "ﬁne", "㍿", "mmmmm", "。。。。",
     " ", "  ", "\n", "\u3000", "\t", "，", "1966年", "(P.M.)", "\u0301", "한글"]
)  # fmt: skip
_TEXTS = st.lists(_PARTS, max_size=40).map("".join)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=_TEXTS)
def test_offsets_lie_in_order_inside_the_text(engines: dict[str, Engine], name: str, text: str) -> None:
    if name not in engines:
        pytest.skip(f"{name} is not on this machine")
    (tokens,) = engines[name].run(Call("trunk:x", [text], "tokens"))
    assert tokens.vectors.shape == (len(tokens.starts), engines[name].card.dim)
    assert len(tokens.starts) == len(tokens.ends)
    assert np.isfinite(tokens.vectors).all()
    assert (tokens.starts >= 0).all()
    assert (tokens.starts <= tokens.ends).all()
    assert (tokens.ends <= len(text)).all()
    assert (np.diff(tokens.starts) >= 0).all()
    covered = np.zeros(len(text), bool)
    for start, end in zip(tokens.starts, tokens.ends, strict=True):
        covered[start:end] = True
    lost = {sign for sign, seen in zip(text, covered, strict=True) if not seen}
    assert not any(sign.isalnum() for sign in lost), lost


@pytest.mark.parametrize(("name", "text"), [("e5-small", "我在ＡＢＣ银行 e\u0301tude 😀工作"), ("minilm", "Ünal paid ＡＢＣ bank 😀 today")])
def test_offsets_point_at_the_characters_before_normalisation(engines: dict[str, Engine], name: str, text: str) -> None:
    if name not in engines:
        pytest.skip(f"{name} is not on this machine")
    (tokens,) = engines[name].run(Call("trunk:x", [text], "tokens"))
    said = [text[start:end] for start, end in zip(tokens.starts, tokens.ends, strict=True)]
    assert "".join(said).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("name", ["e5-small", "minilm"])
def test_nothing_past_the_length_limit_is_lost(engines: dict[str, Engine], name: str) -> None:
    if name not in engines:
        pytest.skip(f"{name} is not on this machine")
    text = " ".join(f"word{i}" for i in range(400))
    (tokens,) = engines[name].run(Call("trunk:x", [text], "tokens"))
    assert len(tokens.starts) > 400
    assert tokens.ends[-1] == len(text)
    assert tokens.vectors.any(axis=1).all()


def test_the_ids_are_those_that_are_pooled() -> None:
    folder: Path = E5Small().prepare()
    tokenizer = SentencePiece(folder, "query: ", 512)
    for text in ("Mmmmmmm ..... hahahaha 1111111111111111", "房间还可以，。。。。。。。。但是早餐一般", "ＦＵＬＬ ① ﬁne ½ Å", ""):
        pieces = tokenizer.pieces(text)
        assert [tokenizer.framed(pieces.ids)[0]] == tokenizer.encode([text])


def test_a_run_that_is_put_in_order_keeps_its_characters() -> None:
    pieces = SentencePiece(E5Small().prepare(), "", 512).pieces("x。。。。。。。。。。。y")
    assert pieces.starts[1:] == pieces.ends[:-1]
    assert pieces.ends[-1] == len("x。。。。。。。。。。。y")


@given(count=st.integers(0, 2_000), room=st.integers(1, 200))
def test_windows_keep_every_token_once(count: int, room: int) -> None:
    kept = [at for one in windows(count, room) for at in range(one.keep, one.keep_stop)]
    assert kept == list(range(count))
    for one in windows(count, room):
        assert one.start <= one.keep <= one.keep_stop <= one.stop <= count
        assert one.stop - one.start <= room


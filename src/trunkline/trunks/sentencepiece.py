"""The compact tokenizer of multilingual trunks: SentencePiece with a model built from pieces.

`tokenizers` takes 282 MiB a process for 250,000 pieces, this 55. Token ids are equal to it on all
texts of our English and Chinese sets (`tests/trunks/test_sentencepiece.py`); two details make them so:
words are cut one by one, so that rounding doesn't add up along a long text, and pieces that commute
("m" "mm") stand in ascending order, which is what exact arithmetic gives.
Known to differ: kana with a voice mark of its own (U+FF9E, U+3099), composed here as the model's own
tokenizer does, left apart by `tokenizers`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

from trunkline.engines.protobuf import block, float32, number
from trunkline.engines.windows import Pieces
from trunkline.errors import TrunkError
from trunkline.trunks.cache import package_file, verified

# The normalisation of XLM-R, as the sentencepiece package carries it
CHARSMAP_SHA256 = "1e2c7b43d3ee9755ceaa2ac335e253d8703604e0249ee1e81156c92b46423844"
_CHARSMAP = "package_data/nmt_nfkc.bin"
MODEL, RUNS = "tokenizer.model", "tokenizer.runs.json"
MASK = "<mask>"
_SIGNS_PER_TOKEN = 64  # a text is cut to this many signs a token before anything looks at it

_CONTROL, _UNKNOWN, _UNIGRAM = 3, 2, 1


def write_model(
    folder: Path,
    pieces: Sequence[bytes],
    scores: Sequence[float],
    *,
    bos: int,
    eos: int,
    pad: int,
    unk: int,
    control: Sequence[int],
) -> None:
    """Write MODEL and RUNS; the ids are the pieces' positions. `control` pieces never match text."""
    charsmap = verified(
        package_file("sentencepiece", _CHARSMAP),
        CHARSMAP_SHA256,
        "sentencepiece==0.2.3",
    ).read_bytes()
    special = dict.fromkeys((bos, eos, pad, *control), _CONTROL) | {unk: _UNKNOWN}
    parts = []
    for i, (piece, score) in enumerate(zip(pieces, scores, strict=True)):
        kind = number(3, special[i]) if i in special else b""
        parts.append(block(1, block(1, piece) + float32(2, score) + kind))
    trainer = number(3, _UNIGRAM) + number(4, len(pieces))
    for field, value in ((40, unk), (41, bos), (42, eos), (43, pad)):
        trainer += number(field, value)
    for field, value in ((45, unk), (46, bos), (47, eos), (48, pad)):
        trainer += block(field, pieces[value])
    normalizer = block(1, b"nmt_nfkc") + block(2, charsmap)
    normalizer += number(3, 1) + number(4, 1) + number(5, 1)  # leading space, squeeze, escape spaces
    parts += [block(2, trainer), block(3, normalizer)]
    (folder / MODEL).write_bytes(b"".join(parts))
    (folder / RUNS).write_text(json.dumps(_runs(pieces, set(special))), encoding="utf-8")


def _runs(pieces: Sequence[bytes], special: set[int]) -> dict[str, list[int]]:
    """Pieces of one repeated sign: sign -> ids, shortest first; only signs with two such pieces."""
    found: dict[str, list[tuple[int, int]]] = {}
    for i, raw in enumerate(pieces):
        piece = raw.decode()
        if piece and i not in special and piece == piece[0] * len(piece):
            found.setdefault(piece[0], []).append((len(piece), i))
    return {sign: [i for _, i in sorted(v)] for sign, v in found.items() if len(v) > 1}


class SentencePiece:
    """Texts -> token ids, `prefix` in front, with begin and end marks, cut to max_tokens."""

    def __init__(self, folder: Path, prefix: str, max_tokens: int) -> None:
        from sentencepiece import SentencePieceProcessor

        self._model = SentencePieceProcessor()
        try:
            self._model.Load(str(folder / MODEL))
        except (OSError, RuntimeError) as error:
            raise TrunkError(
                "the tokenizer can't be loaded", where=str(folder / MODEL), found=str(error)
            ) from error
        runs = json.loads((folder / RUNS).read_text(encoding="utf-8"))
        # id -> (sign, rank by length)
        self._run = {i: (sign, rank) for sign, ids in runs.items() for rank, i in enumerate(ids)}
        self._bos, self._eos = self._model.bos_id(), self._model.eos_id()
        self._prefix = [i for word in self._model.Encode(prefix.split()) for i in word]
        self._room = max_tokens - 2 - len(self._prefix)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        words: list[str] = []
        ends: list[int] = []
        for text in texts:
            cut_text = text[: self._room * _SIGNS_PER_TOKEN]
            words.extend([word for word in cut_text.split(" ") if word][: self._room])
            ends.append(len(words))
        cut = self._model.Encode(words)
        out, start = [], 0
        for end in ends:
            ids = [i for word in cut[start:end] for i in word]
            start = end
            if not self._run.keys().isdisjoint(ids):
                ids = self._in_order(ids)
            out.append([self._bos, *self._prefix, *ids[: self._room], self._eos])
        return out

    @property
    def room(self) -> int:
        """Tokens of a text that go through the model at a time."""
        return self._room

    @property
    def mask(self) -> int | None:
        """Id of the piece that stands for a hidden one; None without it."""
        found = self._model.PieceToId(MASK)
        return int(found) if self._model.IdToPiece(found) == MASK else None

    def framed(self, ids: Sequence[int]) -> tuple[list[int], int]:
        """(ids with prefix and marks, the place of the first of them)."""
        return [self._bos, *self._prefix, *ids, self._eos], 1 + len(self._prefix)

    def pieces(self, text: str) -> Pieces:
        """All tokens of a text; the ids are those of `encode`."""
        found = list(re.finditer("[^ ]+", text))
        cut = self._model.Encode([match[0] for match in found], return_type="proto") if found else []
        ids: list[int] = []
        starts: list[int] = []
        ends: list[int] = []
        for match, word in zip(found, cut, strict=True):
            at = _characters(match[0])
            for piece in word.pieces:
                ids.append(piece.id)
                starts.append(match.start() + at[piece.begin])
                ends.append(match.start() + at[piece.end])
        if not self._run.keys().isdisjoint(ids):
            self._order(ids, starts, ends)
        return Pieces(ids, starts, ends)

    def _order(self, ids: list[int], starts: list[int], ends: list[int]) -> None:
        """`_in_order` in place: pieces of a run that changed places change their characters too."""
        ordered, begin = self._in_order(ids), 0
        for sign, group in groupby(ids, key=lambda i: self._run.get(i, ("", 0))[0]):
            stop = begin + len(list(group))
            lengths = [len(self._model.IdToPiece(i)) for i in ordered[begin:stop]]
            if sign and sum(lengths) == ends[stop - 1] - starts[begin]:  # a sign a character
                edges = list(accumulate(lengths, initial=starts[begin]))
                starts[begin:stop], ends[begin:stop] = edges[:-1], edges[1:]
            begin = stop
        ids[:] = ordered

    def _in_order(self, ids: list[int]) -> list[int]:
        out: list[int] = []
        for sign, group in groupby(ids, key=lambda i: self._run.get(i, ("", 0))[0]):
            run = list(group)
            out.extend(sorted(run, key=lambda i: self._run[i][1]) if sign else run)
        return out


def _characters(word: str) -> list[int]:
    """The character at each byte of a word's UTF-8, and its end."""
    if word.isascii():
        return list(range(len(word) + 1))
    return [i for i, sign in enumerate(word) for _ in sign.encode("utf-8", "surrogatepass")] + [len(word)]


def reference(pieces: Sequence[bytes], scores: Sequence[float], unk: int) -> Any:
    """The same tokenizer in `tokenizers`, with all pieces: what tests and benchmarks compare with."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    charsmap = package_file("sentencepiece", _CHARSMAP)
    named = [(piece.decode(), float(score)) for piece, score in zip(pieces, scores, strict=True)]
    tokenizer = Tokenizer(models.Unigram(named, unk_id=unk, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(charsmap.read_bytes() if charsmap else b""),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "▁"),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    return tokenizer

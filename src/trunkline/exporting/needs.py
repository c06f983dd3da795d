"""product.json of an exported product: all that an app must know beside the network. Plain values, no code.

The names are the file's own; `web/product.js` reads them, and so can any other program.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trunkline.types import Decision

FORMAT = 1
NEEDS, MODEL, EXAMPLES, VOCABULARY, TOKENIZER = "product.json", "model.onnx", "examples.json", "vocabulary.txt", "tokenizer.json"


class Read(Struct, frozen=True, tag_field="holds", kw_only=True):
    """One input of the network. type: of its numbers; shape: names are free axes. `holds` says which kind of Read."""

    tensor: str
    type: str
    shape: tuple[int | str, ...]


class Words(Read, frozen=True, tag="words"):
    """A text as the ids of its first `longest` words, int64 (rows, words); padding stands behind a shorter row.

    The text is cut to `characters`, brought to the Unicode form NFKC and lower case; its words are the matches of
    `pattern`. file: the vocabulary, a word a line; the first has the id `first`.
    """

    column: str
    file: str
    longest: int
    characters: int
    pattern: str
    padding: int
    unknown: int
    first: int


class Tokens(Read, frozen=True, tag="tokens"):
    """A text as token ids, int64 (rows, tokens), with `mask` of that shape: 1 where a token is, 0 behind a shorter row.

    The text is cut to `characters`, `prefix` put before it, and tokenised by `file` (of Hugging Face's tokenizers)
    without marks; cut so that with the ids `before` and `after` around them no more than `longest` stand.
    """

    mask: str
    column: str
    file: str
    prefix: str
    characters: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    longest: int


class Pixels(Read, frozen=True, tag="pixels"):
    """A picture as RGB values 0..255 (rows, 3, height, width), upright, transparency over white.

    steps, in order, each with Pillow's filter of that name: ("cap", n) the short side to at most n; ("short", n, least)
    the short side to n, neither side under `least`; ("square", n) pressed into n x n; ("centre", n) cut out of the
    middle. Sizes round halves to even. mean and spread are subtracted and divided by within the network.
    """

    column: str
    steps: tuple[tuple[str, tuple[int, ...], str], ...]
    mean: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()


class Number(Struct, frozen=True):
    """(cell - mean) / scale; a name is the place that `codes` gives it, `unseen` where they lack it."""

    column: str
    mean: float
    scale: float
    codes: tuple[str, ...] | None = None


class Numbers(Read, frozen=True, tag="numbers"):
    """Columns of a table side by side. A missing cell is `missing` before mean and scale; None = nan."""

    columns: tuple[Number, ...]
    unseen: float
    missing: float | None


class Output(Struct, frozen=True):
    """name: probabilities (rows, labels), value (rows,), or outside (rows,): how far a row lies from all training rows."""

    name: str
    shape: tuple[int | str, ...]


class Network(Struct, frozen=True):
    """The file, and what it is made of. operators: by domain; runtime: the version it was run with here."""

    file: str
    bytes: int
    sha256: str
    opset: dict[str, int]
    operators: dict[str, tuple[str, ...]]
    runtime: str


class Also(Struct, frozen=True):
    """The same network in another file format; largest_difference: as in `Check`, of this file."""

    file: str
    format: str
    bytes: int
    largest_difference: float


class Check(Struct, frozen=True):
    """What was compared when the product was exported. largest_difference: of a probability (regress: of the value,
    over 1 + its size) between the file and the bundle's own answers to `rows` rows; at most `tolerance`."""

    file: str
    rows: int
    largest_difference: float
    tolerance: float


class Needs(Struct, frozen=True, kw_only=True):
    """product.json. rule: how outputs become an answer, in words; `decision` has its numbers."""

    format: int
    product: str
    version: str
    task: str
    method: str
    made_for: str
    trunkline: str
    created: str  # of the bundle
    answers: str  # the bundle's digest of what decides an answer
    licence: tuple[str, ...]
    network: Network
    also: tuple[Also, ...]
    reads: tuple[Words | Tokens | Pixels | Numbers, ...]
    outputs: tuple[Output, ...]
    labels: tuple[str, ...]
    decision: Decision
    rule: tuple[str, ...]
    check: Check
    files: dict[str, str]  # name -> sha256 of every other file

    def as_dict(self) -> dict[str, Any]:
        return dict(msgspec.to_builtins(self))

    def as_text(self, folder: Path) -> str:
        """For people."""
        named, check = f"{self.product} {self.version}", self.check
        return (
            f"wrote {folder}: {named} for a {self.made_for}, {self.network.bytes / 1e6:.2f} MB\n"
            f"{check.rows} rows compared with the bundle: at most {check.largest_difference:.1g} apart (allowed {check.tolerance:g})"
        )


class Example(Struct, frozen=True):
    """One row as an app would have it, the network's inputs that it makes, and the bundle's answer with all scores."""

    row: dict[str, Any]
    inputs: dict[str, list[Any]]
    answer: dict[str, Any]

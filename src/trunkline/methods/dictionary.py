"""The method `dictionary`: what was a span in training is one wherever it stands; the answer to beat for tag.

As the baseline of CoNLL-2003 (Tjong Kim Sang & De Meulder), which looks up entities of the training rows and takes the
longest; here one counts only if it was a span in at least half of the places where its words stood.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import ClassVar

import numpy as np

from trunkline.heads.dictionary import DictionaryHead, Entry, Lookup, Words
from trunkline.heads.token_linear import Atoms, atoms_of
from trunkline.methods.dense_rows import check_budget
from trunkline.methods.settings import NoSettings, read_settings
from trunkline.spec import Spec
from trunkline.types import Ask, Candidate, Examples, Folds, Ints, Prediction, Refused, Span

LEAST_SHARE = 0.5
ENTRY_BYTES = 8  # of an entry besides its words


class Dictionary:
    name: ClassVar[str] = "dictionary"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, NoSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        if spec.task == "tag":
            return None
        return Refused("cannot", f"{self.name} finds spans of a text (task tag), not {spec.task}")

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Entries that don't fit the head's budget are left out, the rarest first."""
        (column,) = spec.inputs
        texts = [row[column] for row in examples.inputs]
        atoms = [atoms_of(text) for text in texts]
        keys = [_keys(own, spans) for own, spans in zip(atoms, examples.target, strict=True)]

        def learned(rows: Ints) -> DictionaryHead:
            entries = _entries([atoms[i] for i in rows.tolist()], [keys[i] for i in rows.tolist()])
            return DictionaryHead(column, _fitting(entries, spec.method.head_mb * 1e6))

        values = np.empty(len(examples), object)
        for fold in np.unique(folds):
            held = np.flatnonzero(folds == fold)
            values[held] = learned(np.flatnonzero(folds != fold)).prediction([texts[i] for i in held.tolist()]).values
        head = learned(np.arange(len(examples)))
        check_budget(head, spec, self.name)
        return Candidate(head, Prediction(values), {"entries": head.save()[0]["entries"]})


Keys = dict[tuple[int, int], tuple[Words, int]]  # (first atom, atom after the last) -> words, label


def _keys(atoms: Atoms, spans: tuple[Span, ...]) -> Keys:
    out: Keys = {}
    for span in spans:
        low = int(np.searchsorted(atoms.ends, span.start, "right"))
        high = int(np.searchsorted(atoms.starts, span.end, "left"))
        if low < high:
            out[low, high] = tuple(atoms.words[low:high]), span.label
    return out


def _entries(atoms: list[Atoms], keys: list[Keys]) -> dict[Words, Entry]:
    """The commonest label of each span's words, where the share of places is LEAST_SHARE; the commonest entries first."""
    labels: dict[Words, Counter[int]] = defaultdict(Counter)
    for words, label in (found for row in keys for found in row.values()):
        labels[words][label] += 1
    first = {words: Entry(counted.most_common(1)[0][0], 1.0) for words, counted in labels.items()}
    lookup, met, right = Lookup(first), Counter[Words](), Counter[Words]()
    for own, known in zip(atoms, keys, strict=True):
        for low, high, words in lookup.places(own.words):
            met[words] += 1
            right[words] += known.get((low, high)) == (words, first[words].label)
    shares = {words: right[words] / met[words] for words in met}
    kept = (words for words in sorted(shares, key=lambda words: (-right[words], words)) if shares[words] >= LEAST_SHARE)
    return {words: Entry(first[words].label, shares[words]) for words in kept}


def _fitting(entries: dict[Words, Entry], room: float) -> dict[Words, Entry]:
    sizes = np.cumsum([len(" ".join(words).encode("utf-8", "surrogatepass")) + 1 + ENTRY_BYTES for words in entries])
    return dict(list(entries.items())[: int(np.searchsorted(sizes, room, "right"))])

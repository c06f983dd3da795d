"""Masked-language pretraining of a trunk on texts without labels, into a folder that is a trunk of its own.

First a head alone learns to say hidden tokens by the trunk as it is, then both learn. Held-out texts tell what that
brought: how hard their hidden tokens are to guess (perplexity) by the words' frequencies alone, by the trunk as it was
under that head, and by the trunk as it became.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trunkline.data.split import place_by
from trunkline.engines.text import Locates
from trunkline.errors import DataError, MissingExtra, TrunkError, TrunklineError
from trunkline.pretraining.texts import Pieces, block_of, pieces_of
from trunkline.terminal import SILENT, Progress
from trunkline.training.settings import LoopSettings
from trunkline.trunks import find
from trunkline.trunks.cache import cache_folder
from trunkline.trunks.learned import learnable, save_learned

HELD, HELD_MOST = 0.05, 1000  # share of the texts that judge, and texts at most
HEAD_RATE = 1e-3
JUDGED = 32  # pieces at a time
CHECK = ("My card still hasn't arrived, what can I do?", "房间很干净，早餐也不错，下次还会来住。")
CLOSE = 0.95  # cosine of a served vector with PyTorch's: int8 lies .98 to .999 away, the further the more was learned


class Settings(LoopSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The loop's; full of its weights, a pretrained trunk wants a small rate."""

    epochs: int = 3
    batch: int = 32
    rate: float = 5e-5
    patience: int = 0
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1


@dataclass(frozen=True)
class Pretrained:
    """Perplexities of the held-out texts' hidden tokens: by frequencies, by the trunk before, and after."""

    folder: Path
    texts: int
    tokens: int
    unigram: float
    before: float
    after: float
    seconds: float


def pretrain(
    base: str, texts: Sequence[str], out: Path, settings: Settings, seed: int = 0, progress: Progress = SILENT
) -> Pretrained:
    """Learn `base` on from `texts` and write the trunk to `out`, which must not exist.

    Interrupted, it goes on where it was when it is asked for the same again. Raises TrunkError for a base that can't
    be learned on, DataError for too few texts, MissingExtra without the `train` extra.
    """
    if out.exists():
        raise TrunklineError("this folder exists already", where=str(out), hint="choose another name for the new trunk")
    try:
        import accelerate  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    trunk = learnable(base)
    run = _Run(base, trunk.card, trunk.parts(), texts, settings, seed, progress)
    found = run.learn(out)
    shutil.rmtree(run.folder, ignore_errors=True)
    return found


class _Run:
    def __init__(
        self, base: str, card: Any, parts: Any, texts: Sequence[str], settings: Settings, seed: int, progress: Progress
    ) -> None:
        self.base, self.card, self.parts, self.settings = base, card, parts, settings
        self.seed, self.progress, self.texts = seed, progress, texts
        tokenizer = parts.tokenizer
        mark = getattr(tokenizer, "mask", None)
        if mark is None or not isinstance(tokenizer, Locates):
            raise TrunkError("this trunk's tokenizer has no token for a hidden one", where=base, wanted="[MASK] or <mask>")
        self.mark = int(mark)
        held = _held(texts, seed)
        self.fit = [piece for text, is_held in zip(texts, held, strict=True) if not is_held for piece in pieces_of(text, tokenizer)]
        self.judged = [piece for text, is_held in zip(texts, held, strict=True) if is_held for piece in pieces_of(text, tokenizer)]
        if not self.fit or not self.judged:
            raise DataError("these texts are too few to learn from", found=f"{len(texts)} texts", wanted="some hundreds at least")
        self.words, self.counts = _words([*self.fit, *self.judged], self.fit)
        digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
        told = [base, card.fingerprint, digest, msgspec.to_builtins(settings), seed]
        self.about = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        self.digest = digest
        self.folder = cache_folder() / "training" / f"pretrain-{self.about[:16]}"

    def learn(self, out: Path) -> Pretrained:
        import torch

        from trunkline.networks.masked_language import MaskedLanguage
        from trunkline.networks.text_encoder import TextEncoder

        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            module = MaskedLanguage(TextEncoder(self.parts, self.settings.dropout), self.words, self.counts)
        moving = [p for p in module.encoder.parameters() if p.requires_grad]
        unigram = self._unigram()
        for parameter in moving:
            parameter.requires_grad_(False)
        head = msgspec.structs.replace(self.settings, rate=HEAD_RATE)  # as long: a poor head would make little of any trunk
        first = self._loop(module, head, "head")
        for parameter in moving:
            parameter.requires_grad_(True)
        second = self._loop(module, self.settings, "pretrain")
        before = first.epochs[-1].figures["perplexity"]
        after = min(epoch.figures["perplexity"] for epoch in second.epochs)
        found = Pretrained(
            out, len(self.texts), sum(piece.count for piece in self.fit), round(unigram, 3), round(before, 3), round(after, 3),
            round(first.seconds + second.seconds, 1),
        )  # fmt: skip
        self._save(module, found, [*first.notes, *second.notes], second.epochs)
        return found

    def _loop(self, module: Any, settings: Settings, name: str) -> Any:
        from trunkline.training.gradient import Recipe
        from trunkline.training.loop import train_loop

        sizes = np.array([len(piece.ids) for piece in self.fit])
        recipe = Recipe(module, len(self.fit), self._batch, _loss, partial(self._judge, self._fixed()), sizes, large=True, counted=_counted)
        return train_loop(
            recipe, settings, self.seed, folder=self.folder / name, about=f"{self.about} {name}", progress=self.progress, name=name
        )

    def _batch(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Any:
        return self._hidden([self.fit[at] for at in rows.tolist()], rng)

    def _hidden(self, pieces: Sequence[Pieces], rng: np.random.Generator) -> Any:
        import torch

        from trunkline.networks.masked_language import hide

        ids, mask, own = block_of(pieces)
        given, chosen = hide(ids, own, self.words, self.mark, rng)
        wanted = np.searchsorted(self.words, ids[chosen])
        return tuple(torch.from_numpy(each) for each in (given, mask, chosen, wanted))

    def _fixed(self) -> list[Any]:
        """The held-out pieces, always with the same tokens hidden."""
        order = sorted(self.judged, key=lambda piece: len(piece.ids))
        rng = np.random.default_rng(self.seed)
        return [self._hidden(order[at : at + JUDGED], rng) for at in range(0, len(order), JUDGED)]

    def _judge(self, batches: Sequence[Any], module: Any) -> dict[str, float]:
        import torch
        from torch.nn import functional

        device, total, count = next(module.parameters()).device, 0.0, 0
        for batch in batches:
            given, mask, chosen, wanted = (each.to(device) for each in batch)
            with torch.autocast(device.type, torch.bfloat16, enabled=False):
                scores = module(given, mask, chosen)
            total += float(functional.cross_entropy(scores.float(), wanted, reduction="sum"))
            count += len(wanted)
        return {"loss": total / count, "perplexity": math.exp(total / count)}

    def _unigram(self) -> float:
        """Perplexity by the words' frequencies alone."""
        chances = np.log((self.counts + 1) / (self.counts + 1).sum())
        wanted = np.concatenate([batch[3].numpy() for batch in self._fixed()])
        return math.exp(-float(chances[wanted].mean()))

    def _save(self, module: Any, found: Pretrained, notes: Sequence[str], epochs: Sequence[Any]) -> None:

        record = {
            "method": "masked language", "texts": found.texts, "texts_sha256": self.digest, "tokens": found.tokens, "words": len(self.words),
            "perplexity": {"unigram": found.unigram, "before": found.before, "after": found.after}, "seed": self.seed,
            "settings": msgspec.to_builtins(self.settings), "curve": msgspec.to_builtins(list(epochs)), "notes": list(notes),
            "seconds": found.seconds,
        }  # fmt: skip
        encoder = module.encoder.cpu().eval()
        save_learned(found.folder, self.base, self.card, encoder.learned(), record)
        name = f"folder:{found.folder}"
        cosine = encoder.agreement(find(name).load(), CHECK)
        if not cosine > CLOSE:
            shutil.rmtree(found.folder)
            raise TrunkError("the new trunk doesn't give what was learned", where=name, found=f"cosine {cosine:.4f}", wanted=f"over {CLOSE}")


def _loss(module: Any, batch: Any) -> Any:
    from torch.nn import functional

    given, mask, chosen, wanted = batch
    return functional.cross_entropy(module(given, mask, chosen).float(), wanted)


def _counted(batch: Any) -> int:
    """Hidden tokens."""
    return len(batch[3])


def _held(texts: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Which texts judge: by their own digest, so that more texts move none from one side to the other."""
    places = np.array([place_by(text.encode(), seed) for text in texts])
    held = places < min(HELD, HELD_MOST / len(texts))
    if not held.any() and len(texts) > 1:
        held[places.argmin()] = True
    return held


def _words(every: Sequence[Pieces], fit: Sequence[Pieces]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(ids that occur anywhere, in order; how often each occurs in what is learned from)."""
    words = np.unique(np.concatenate([_own(piece) for piece in every]))
    known, often = np.unique(np.concatenate([_own(piece) for piece in fit]), return_counts=True)
    counts = np.zeros(len(words), np.int64)
    counts[np.searchsorted(words, known)] = often
    return words, counts


def _own(piece: Pieces) -> NDArray[np.int64]:
    return np.array(piece.ids[piece.first : piece.first + piece.count], np.int64)

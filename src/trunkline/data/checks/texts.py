"""Texts: damaged encodings, over-long ones, languages."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from trunkline.data.checks.view import View, percent
from trunkline.types import Finding

_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_LETTER = re.compile(r"[^\W\d_]")
_LOST = ("\ufffd", "锟斤拷", "烫烫烫", "屯屯屯")
_SAMPLE = 5_000  # texts looked at for languages, spread evenly


def mojibake(view: View) -> list[Finding]:
    """Texts that were decoded wrongly once: signs lost, or UTF-8 read as GBK or Latin."""
    bad = [i for i, text in enumerate(view.loaded.texts) if not text.isascii() and garbled(text)]
    if not bad:
        return []
    share = len(bad) / len(view.loaded.texts)
    return [
        Finding(
            check="mojibake",
            severity="warn",
            score=share,
            count=len(bad),
            message=f"{len(bad):,} texts ({percent(share)}) look wrongly decoded (� or nonsense signs)",
            message_zh=f"{len(bad):,} 条文本（{percent(share)}）疑似乱码（� 或无意义字符）",
            rows=view.examples(bad),
            fix="export the rows again as UTF-8",
        )
    ]


def garbled(text: str) -> bool:
    """True for texts with lost signs, or that become valid UTF-8 when encoded back as they were read."""
    return any(mark in text for mark in _LOST) or _was_latin(text[:2_000]) or _was_gbk(text[:2_000])


def _was_latin(text: str) -> bool:
    """UTF-8 read as Latin: real text almost never turns into valid UTF-8 when written as Latin."""
    try:
        return len(text) - len(text.encode("cp1252").decode("utf-8")) >= 2
    except UnicodeError:  # the usual case: it was not read as Latin
        return False


def _was_gbk(text: str) -> bool:
    """UTF-8 read as GBK, which loses a sign here and there: nearly all bytes must be UTF-8 again."""
    written = text.encode("gb18030", "ignore")
    original = written.decode("utf-8", "ignore")
    return len(_CJK.findall(original)) >= 3 and len(original.encode()) >= 0.9 * len(written)


def long_inputs(view: View) -> list[Finding]:
    """Texts of which the trunk reads only the beginning."""
    findings = []
    for column in view.loaded.columns("text"):
        sizes = [estimated_tokens(text) for part in ("train", "test") for text in view.values(column, part)]
        over = np.flatnonzero(np.array(sizes) > view.max_tokens)
        if len(over):
            findings.append(_long(view, column, over.tolist(), len(sizes), max(sizes)))
    return findings


def estimated_tokens(text: str) -> int:
    """Tokens by signs: about 0.7 for a Chinese one, a quarter for others (SentencePiece vocabularies)."""
    wide = 0 if text.isascii() else len(_CJK.findall(text))
    return round(0.7 * wide + (len(text) - wide) / 4)


def _long(view: View, column: str, over: Sequence[int], total: int, most: int) -> Finding:
    share = len(over) / total
    return Finding(
        check="long_inputs",
        severity="warn" if share > 0.1 else "info",
        score=share,
        count=len(over),
        message=f"{len(over):,} texts of {column!r} ({percent(share)}) pass the {view.max_tokens} tokens that are "
        f"read (the longest has about {most:,}): their ends are not seen",
        message_zh=f"{column!r} 有 {len(over):,} 条文本（{percent(share)}）超过可读的 {view.max_tokens} 个词元"
        f"（最长约 {most:,}），其结尾不会被读取",
        rows=view.examples(over),
        fix="put what matters first, or cut rows into parts",
    )


def language_mix(view: View) -> list[Finding]:
    """Says so where texts are of several languages."""
    shares = language_shares(view.loaded.texts)
    small = {name: share for name, share in shares.items() if share >= 0.02}
    if len(small) < 2:
        return []
    listed = ", ".join(f"{name} {percent(share)}" for name, share in sorted(small.items(), key=lambda p: -p[1]))
    return [
        Finding(
            check="language_mix",
            severity="info",
            score=1 - max(shares.values()),
            count=len(small),
            message=f"the texts are of several scripts: {listed}",
            message_zh=f"文本包含多种文字：{listed}",
        )
    ]


def language_shares(texts: Sequence[str]) -> dict[str, float]:
    """{"zh", "en", "other"} -> share of texts, by script: zh where a fifth of the letters are Han
    (one says what two Latin ones or more do), en where most are Latin. {} without texts."""
    if not texts:
        return {}
    looked = texts[:: -(-len(texts) // _SAMPLE)]
    counts = {"zh": 0, "en": 0, "other": 0}
    for text in looked:
        counts[_script(text[:500])] += 1
    return {name: count / len(looked) for name, count in counts.items()}


def _script(text: str) -> str:
    if text.isascii():
        return "en" if _LATIN.search(text) else "other"
    letters, han = len(_LETTER.findall(text)), len(_CJK.findall(text))
    if letters and han >= 0.2 * letters and not re.search(r"[\u3040-\u30ff]", text):
        return "zh"
    return "en" if letters and len(_LATIN.findall(text)) > letters / 2 else "other"

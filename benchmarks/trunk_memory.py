"""Memory and load time of the default trunk in a process of its own, tokenizer apart, then after use."""

from __future__ import annotations

import json
import sys
import time

from benchmarks.record import record
from benchmarks.trunk_common import banking, hotel, in_process, middle, pss


def stages() -> dict[str, float]:
    from trunkline.engines.threads import limit_blas

    limit_blas()
    out: dict[str, float] = {}
    start = time.perf_counter()

    def mark(name: str) -> None:
        nonlocal start
        now = time.perf_counter()
        out[f"{name}_s"], out[f"{name}_total_mib"] = now - start, pss()
        start = time.perf_counter()

    from trunkline.trunks import find
    from trunkline.trunks.e5 import PREFIX
    from trunkline.trunks.sentencepiece import SentencePiece
    from trunkline.types import Call

    mark("import")
    trunk = find("e5-small")
    folder = trunk.prepare()  # type: ignore[attr-defined]
    mark("verify_digests")
    engine = trunk.load()
    mark("load")
    engine.run(Call("trunk:e5-small", ["first"]))
    mark("first_row")
    engine.run(Call("trunk:e5-small", banking()[:512]))
    engine.run(Call("trunk:e5-small", hotel(200)))
    mark("after_712_rows")
    before, start = pss(), time.perf_counter()
    again = SentencePiece(folder, PREFIX, 128)
    out["tokenizer_alone_s"], out["tokenizer_alone_mib"] = time.perf_counter() - start, pss() - before
    assert again
    return out


STEPS = {
    "import": "import of the trunk's modules (numpy)",
    "verify_digests": "digests of the converted files (81 MB)",
    "load": "load: digests again, tokenizer beside the graph's compilation, probe",
    "first_row": "first row",
    "after_712_rows": "after 512 English and 200 Chinese rows",
}


def main() -> None:
    in_process("trunk_memory", "--stages")  # converts where needed, warms the page cache
    runs = [in_process("trunk_memory", "--stages") for _ in range(3)]
    rows = [
        {
            "step": text,
            "s": middle([run[f"{step}_s"] for run in runs], 3),
            "process, MiB (PSS)": middle([run[f"{step}_total_mib"] for run in runs]),
        }
        for step, text in STEPS.items()
    ]
    alone = {"step": "the tokenizer alone (a second one, memory on top)"}
    alone["s"] = middle([run["tokenizer_alone_s"] for run in runs], 3)
    alone["process, MiB (PSS)"] = "+ " + middle([run["tokenizer_alone_mib"] for run in runs])
    record(
        "trunk_memory",
        "The default trunk in a process of its own",
        [*rows, alone],
        spread="median (lowest-highest) of 3 fresh processes, files in the page cache",
        note="e5-small, as many streams as cores.",
        packages=("openvino", "sentencepiece"),
    )


if __name__ == "__main__":
    print(json.dumps(stages())) if "--stages" in sys.argv else main()

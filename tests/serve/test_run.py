"""The real server in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
from tests.products import text_product
from tests.serve.parts import ToyTable, make_product

from trunkline.errors import TrunklineError
from trunkline.serve.run import listen, serve

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "sklearn",
    "lightgbm",
    "scipy",
    "pyarrow",
    "pandas",
    "sqlalchemy",
    "jinja2",
    "pydantic",
    "fastapi",
)


class Running:
    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process, self.url, self.log = process, url, log

    def stop(self) -> str:
        """SIGTERM, then what it printed."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=20)
        return out


@contextmanager
def started(command: list[str], log: Path, stdin: int = subprocess.DEVNULL) -> Iterator[Running]:
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        yield Running(process, _address(process, log), log)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=20)


def running(folder: Path, log: Path, stdin: int = subprocess.DEVNULL) -> AbstractContextManager[Running]:
    return started([sys.executable, "-m", "tests.serve.parts", str(folder), "0"], log, stdin)


def _address(process: subprocess.Popen[str], log: Path) -> str:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"(https?://127\.0\.0\.1:\d+)/docs", log.read_text())
        if found:
            return found[1]
        time.sleep(0.02)
    raise AssertionError(log.read_text())


@pytest.fixture
def products(tmp_path: Path) -> Path:
    root = tmp_path / "products"
    make_product(root, "support")
    make_product(
        root, "risk", inputs={"amount": "number"}, head=ToyTable("amount", [1.0]), labels=("high", "low")
    )
    return root


def test_it_answers_many_at_once_and_stops(products: Path, tmp_path: Path) -> None:
    with running(products, tmp_path / "log") as server:

        def call(n: int) -> str:
            path, row = (
                ("support", {"text": "abc"[n % 3] * 3}) if n % 2 else ("risk", {"amount": n % 3 - 1.5})
            )
            reply = httpx.post(f"{server.url}/v1/products/{path}/predict", json={"rows": [row]})
            return str(reply.json()["answers"][0]["label"])

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(call, range(120)))
        support = ["fee", "card", "other"]
        assert found == [support[n % 3] if n % 2 else ("high" if n % 3 == 2 else "low") for n in range(120)]
        modules = server.stop().split()
        assert server.process.returncode == 0
    assert "starlette" in modules
    assert [name for name in HEAVY if name in modules] == []
    assert not [name for name in modules if name.startswith("trunkline.methods.")]


def test_a_call_under_way_is_ended(products: Path, tmp_path: Path) -> None:
    with running(products, tmp_path / "log") as server:
        replies: list[httpx.Response] = []

        def slow() -> None:
            rows = {"rows": [{"text": "slow aaaa"}]}
            replies.append(httpx.post(f"{server.url}/v1/products/support/predict", json=rows, timeout=20))

        thread = threading.Thread(target=slow)
        thread.start()
        time.sleep(0.4)
        server.stop()
        thread.join()
        assert [reply.status_code for reply in replies] == [200]
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")


def test_slow_rows_hold_nobody_up(products: Path, tmp_path: Path) -> None:
    with running(products, tmp_path / "log") as server:
        rows = {"rows": [{"text": "slow"}]}
        thread = threading.Thread(
            target=lambda: httpx.post(f"{server.url}/v1/products/support/predict", json=rows)
        )
        thread.start()
        time.sleep(0.2)
        began = time.monotonic()
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        assert time.monotonic() - began < 0.5
        thread.join()


def test_a_flipped_byte_is_refused_at_start(products: Path, tmp_path: Path) -> None:
    file = products / "support" / "bundles" / "v1" / "head.json"
    file.write_bytes(file.read_bytes().replace(b"text", b"tex_"))
    with running(products, tmp_path / "log") as server:
        assert httpx.post(f"{server.url}/v1/products/support/predict", json={"rows": []}).status_code == 503
        assert (
            httpx.post(f"{server.url}/v1/products/risk/predict", json={"row": {"amount": 1}}).status_code
            == 200
        )
        server.stop()
    assert "× support  a file of the bundle was changed" in (tmp_path / "log").read_text()


def test_a_taken_port_is_said_before_anything_loads(products: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(TrunklineError, match=f"can't listen on port {port}") as caught:
            serve(products, port=port)
    assert f"--port {port + 1}" in caught.value.hint


def test_loopback_only_by_default() -> None:
    import inspect

    assert inspect.signature(serve).parameters["host"].default == "127.0.0.1"
    with listen("127.0.0.1", 0) as here:
        assert here.getsockname()[0] == "127.0.0.1"
        assert here.family == socket.AF_INET


def test_nothing_to_serve_frees_the_port(tmp_path: Path) -> None:
    with pytest.raises(TrunklineError, match="no product here"):
        serve(tmp_path, port=0)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed pair for this machine, by OpenSSL's own tool."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *curve, *names, "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return certificate, key


@pytest.mark.parametrize("workers", [1, 2])
def test_tls(tmp_path: Path, workers: int) -> None:
    text_product(tmp_path / "products" / "mail").train()
    certificate, key = make_certificate(tmp_path, "own")
    arguments = f"Path({str(tmp_path / 'products')!r}), '127.0.0.1', 0, {workers}, Path({str(certificate)!r}), Path({str(key)!r})"
    code = f"from pathlib import Path\nfrom trunkline.serve.run import serve\nserve({arguments})"
    with started([sys.executable, "-c", code], tmp_path / "log") as server:
        assert server.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=str(certificate))
        body = {"row": {"text": "my parcel is late 包裹"}}
        for _ in range(6):
            reply = httpx.post(
                f"{server.url}/v1/products/mail/predict", json=body, verify=trusted, timeout=20
            )
            assert reply.json()["answers"][0]["label"] == "delivery"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{server.url}/healthz")
        server.stop()
        assert server.process.returncode == 0


def test_a_wrong_pair_is_said_before_anything_loads(tmp_path: Path) -> None:
    own, other = make_certificate(tmp_path, "own"), make_certificate(tmp_path, "other")
    locked = tmp_path / "locked.key"
    lock = ["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", str(own[1]), "-out", str(locked)]
    subprocess.run(lock, check=True, capture_output=True, timeout=30)
    for pair, found in [
        ((own[0], other[1]), "mismatch"),
        ((own[1], own[0]), ""),
        ((own[0], tmp_path / "none.key"), "No such file"),
        ((own[0], locked), ""),
        ((own[0], None), "only the certificate"),
        ((None, own[1]), "only the key"),
    ]:
        with pytest.raises(TrunklineError, match="certificate") as caught:
            serve(tmp_path / "there is no such folder", port=0, certificate=pair[0], key=pair[1])
        assert found in caught.value.found.lower() or found in caught.value.found


def test_hangup_reloads_a_lone_server(products: Path, tmp_path: Path) -> None:
    with running(products, tmp_path / "log") as server:
        make_product(products, "another").set_live()
        server.process.send_signal(signal.SIGHUP)
        _until_logged(tmp_path / "log", '"message":"reloaded"')
        reply = httpx.post(f"{server.url}/v1/products/another/predict", json={"row": {"text": "a"}})
        assert reply.status_code == 200
        server.stop()
        assert server.process.returncode == 0


def test_hangup_ends_a_server_whose_window_was_closed(products: Path, tmp_path: Path) -> None:
    outer, inner = os.openpty()
    with running(products, tmp_path / "log", stdin=inner) as server:
        os.close(inner)
        os.close(outer)  # the window
        server.process.send_signal(signal.SIGHUP)
        server.process.communicate(timeout=20)
        assert server.process.returncode == 0


def _until_logged(log: Path, text: str) -> None:
    until = time.monotonic() + 20
    while text not in log.read_text():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.02)


def test_json_says_once_what_is_served(products: Path) -> None:
    command = [sys.executable, "-m", "tests.serve.parts", str(products), "0", "json"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            with urllib.request.urlopen(f"{said['url']}/healthz", timeout=10) as reply:
                assert json.load(reply)["products"] == len(said["products"])
        finally:
            process.terminate()
        assert "{" not in process.stdout.read()  # but the modules that the test's server lists

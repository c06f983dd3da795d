"""An exported folder in Debian's Chromium, with what `npm ci` put into .node at the root."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

MODULES = Path(__file__).parents[2] / ".node" / "node_modules"
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium"),
    pytest.mark.skipif(not (MODULES / "onnxruntime-web").is_dir(), reason="needs onnxruntime-web: make node"),
]


class _Folder(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}  # noqa: RUF012

    def translate_path(self, path: str) -> str:
        plain = path.split("?")[0]
        if plain.startswith("/node_modules/"):
            return str(MODULES.parent / plain.removeprefix("/"))
        return super().translate_path(path)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of a server for the folder, on this machine only."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Folder, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def chromium() -> Iterator[Any]:
    """Only one at a time in a process."""
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, folder: Path) -> Iterator[Any]:
    """The folder's index.html, its product loaded and its examples compared. Fails on any error in the page."""
    with served(folder) as url:
        page = browser.new_page(locale="en-US")
        problems: list[str] = []
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{url}/index.html")
        try:
            page.wait_for_function("() => document.querySelector('#check').textContent.startsWith('12 examples answered')", timeout=180_000)
        except Exception as error:
            raise AssertionError(f"{page.locator('#check').inner_text()} {problems}") from error
        yield page
        page.close()
        assert [problem for problem in problems if "404" not in problem] == []  # of the icon that browsers ask for

"""/docs and the report in a real browser: customers' words are text, and the forms work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.proof.fakes import hotels
from tests.serve.parts import make_product
from tests.serve.test_run import running

from trunkline.proof import prove, render_html

EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium"),
]


@pytest.fixture
def page() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(locale="en-US")
        page.problems = []
        page.on("console", lambda line: page.problems.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        yield page
        browser.close()


def test_labels_and_titles_are_text(page: Any, tmp_path: Path) -> None:
    make_product(tmp_path / "p", "support", labels=(EVIL, "card", "other"), spec={"title": EVIL})
    with running(tmp_path / "p", tmp_path / "log") as server:
        page.goto(f"{server.url}/docs")
        page.get_by_text("/v1/products/support/predict").first.click()
        assert page.locator("main img, main script").count() == 0
        assert EVIL in page.locator("main").inner_text()
        page.locator("details[open] textarea").fill('{"rows": [{"text": "aaaa"}]}')
        page.get_by_role("button", name="Send").first.click()
        page.get_by_text("✓ 200").wait_for()
        assert EVIL in page.locator("details[open] pre").first.inner_text().replace('\\"', '"')
        assert page.title() == "Trunkline API"
        page.get_by_role("button", name="中文").click()
        assert page.get_by_role("heading", name="产品").is_visible()
        assert page.locator("html").get_attribute("lang") == "zh-CN"
        assert page.problems == []


def test_a_failed_call_shows_the_problem(page: Any, tmp_path: Path) -> None:
    make_product(tmp_path / "p", "support")
    make_product(tmp_path / "p", "failed", passed=False)
    with running(tmp_path / "p", tmp_path / "log") as server:
        page.goto(f"{server.url}/docs")
        page.get_by_text("failed: can't serve").wait_for()
        page.get_by_text("/v1/products/support/predict").first.click()
        page.locator("details[open] textarea").fill('{"rows": [{"txt": "a"}]}')
        page.get_by_role("button", name="Send").first.click()
        page.get_by_text("× 422").wait_for()


def test_the_report_works_in_its_sandbox(page: Any, tmp_path: Path) -> None:
    report = prove(hotels())
    html = render_html(report, "en")
    make_product(tmp_path / "p", "support", report=report.as_dict(), html=html)
    with running(tmp_path / "p", tmp_path / "log") as server:
        page.goto(f"{server.url}/v1/products/support/report")
        assert page.locator("h1").first.is_visible()
        for button in page.locator("button:visible").all():
            button.click()
        assert page.problems == []

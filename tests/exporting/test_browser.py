"""Exported products in a page: the same words, pixels and answers as here."""

from __future__ import annotations

import base64
import io
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.berts import bert_folder
from tests.exporting import parts
from tests.exporting.pages import chromium, needs_browser, opened

pytest.importorskip("torch", reason="torch is not installed")

from PIL import Image as Pillow

from trunkline.exporting.own_network import PATTERN
from trunkline.exporting.portable import export_for
from trunkline.exporting.rows import answered
from trunkline.inputs.cell import clean
from trunkline.inputs.image import Image, Picture
from trunkline.inputs.row import RowReader
from trunkline.trunks import find
from trunkline.types import Decision, Refused
from trunkline.vocabulary import tokens_of

pytestmark = needs_browser
NEAR = 1e-5  # of a probability: WebAssembly adds in another order
TOKENS = """async ([texts, pattern]) => {
  const [{ clean }, { normalise }] = [await import("./cells.js"), await import("./words.js")];
  return texts.map((text) => [...normalise(clean(text), 20000).matchAll(new RegExp(pattern, "gu"))].map((found) => found[0]));
}"""
PIXELS = """async ([picture, steps]) => {
  const { pixelsOf } = await import("./pictures.js");
  return [...await pixelsOf(picture, steps)];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def words(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, Any]]:
    """(page, bundle, desk) of a text product."""
    folder = tmp_path_factory.mktemp("words")
    bundle, desk = parts.text_product(folder, "lstm", Decision(temperature=1.4, abstain_below=0.36)), parts.desk(folder)
    export_for(bundle, "browser", folder / "out", desk)
    with opened(browser, folder / "out") as page:
        yield page, bundle, desk


@pytest.fixture(scope="module")
def pictures(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, Any]]:
    """(page, bundle, desk) of a product on pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    bundle, desk = parts.image_product(folder), parts.desk(folder)
    export_for(bundle, "browser", folder / "out", desk)
    with opened(browser, folder / "out") as page:
        yield page, bundle, desk


@pytest.fixture(scope="module")
def tokens(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, Any]]:
    """(page, bundle, desk) of a text product on a small encoder with MiniLM's tokenizer."""
    folder = tmp_path_factory.mktemp("tokens")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUNKLINE_CACHE", str(folder / "cache"))
        bundle = parts.on_trunk(folder, f"folder:{bert_folder(folder / 'bert')}", decision=Decision(outside_above=0.9))
        desk = parts.desk(folder)
        export_for(bundle, "browser", folder / "out", desk)
        with opened(browser, folder / "out") as page:
            yield page, bundle, desk


def here(bundle: Any, desk: Any, row: dict[str, Any]) -> dict[str, Any]:
    values = RowReader(bundle.spec.inputs).read(row)
    if isinstance(values, Refused):
        return {"status": "error", "error": values.code}
    return answered(bundle, values, desk.ask_uncached(bundle.engines))


def same(wanted: dict[str, Any], given: dict[str, Any], near: float = NEAR) -> bool:
    if wanted["status"] == "error":
        return bool(given["status"] == "error" and given["error"] == wanted["error"])
    far = max(abs(score - given["scores"][label]) for label, score in wanted["scores"].items())
    return bool(far < near and given["status"] == wanted["status"] and given["label"] == wanted["label"])


def test_a_page_answers_texts_as_the_server_does(words: Any) -> None:
    page, bundle, desk = words
    texts = ["refund my order please", "我的卡，单", "CAFÉ ＡＢＣ１２３!", "x" * 3_000, " \t", "", "\u200b", "退款\r\n卡\ud800", "twice " * 400]
    for text in texts:
        cell = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # as it can be sent
        wanted = here(bundle, desk, {"text": cell})
        assert same(wanted, page.evaluate("(row) => product.predict(row)", {"text": cell})), (text[:40], wanted)
    statuses = {here(bundle, desk, {"text": text})["status"] for text in texts[:3]}
    assert statuses <= {"ok", "abstained"}


def test_rows_asked_at_once_have_their_own_answers(words: Any) -> None:
    page, bundle, desk = words
    texts = ["refund", "card arrived twice", "退款"]
    given = page.evaluate("(texts) => Promise.all(texts.map((text) => product.predict({ text })))", texts)
    assert all(same(here(bundle, desk, {"text": text}), answer) for text, answer in zip(texts, given, strict=True))


def test_examples_are_compared_in_the_page_and_a_difference_is_told(words: Any) -> None:
    page, _, _ = words
    found = page.evaluate("() => product.check()")
    assert (found["rows"], found["wrong"]) == (12, [])
    assert found["largest"] < NEAR
    page.evaluate("() => { product.needs.decision.abstain_below = 1.01; }")
    told = page.evaluate("() => product.check()")
    page.evaluate("() => { product.needs.decision.abstain_below = 0.36; }")
    assert told["wrong"]


def test_every_character_of_this_python_parts_words_alike(words: Any) -> None:
    """Unassigned ones may be known to a newer browser, and surrogates are no characters."""
    page, _, _ = words
    known = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
    texts = ["".join(f"a{sign}b {sign}{sign}1 " for sign in known[at : at + 500]) for at in range(0, len(known), 500)]
    for found, text in zip(page.evaluate(TOKENS, [texts, PATTERN]), texts, strict=True):
        assert found == tokens_of(clean(text))


def test_a_page_answers_on_a_trunk_as_the_server_does(tokens: Any) -> None:
    page, bundle, desk = tokens
    texts = [
        "My card hasn't arrived!", "ÉCOLE naïve Straße ﬁne", "我的卡还没到 and 退款", "a" * 300, "unbelievably " * 90, "x_y-z (1,000.50€) @you #42",
        "tab\tand\nline", "🙂👩‍👩‍👧 ok", "[MASK] [SEP] [CLS] [UNK]", "ｆｕｌｌ　ｗｉｄｔｈ", "ไทย हिन्दी العربية עברית", "", "...!!!???",
    ]  # fmt: skip
    wanted = [here(bundle, desk, {"text": text}) for text in texts]
    given = page.evaluate("(texts) => Promise.all(texts.map((text) => product.predict({ text })))", texts)
    assert [text for text, one, other in zip(texts, wanted, given, strict=True) if not same(one, other, 1e-4)] == []
    assert {answer["status"] for answer in given} == {"ok", "out_of_scope", "error"}


def png(size: tuple[int, int], mode: str = "RGB", seed: int = 0) -> bytes:
    width, height = size
    channels = {"RGB": 3, "RGBA": 4, "L": 1}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels[:, :, 0] if mode == "L" else pixels).save(file, "PNG")
    return file.getvalue()


def in_page(page: Any, data: bytes, steps: list[Any]) -> NDArray[np.int64]:
    return np.array(page.evaluate(PIXELS, [base64.b64encode(data).decode(), steps]), np.int64)


def read(data: bytes) -> Picture:
    found = Image().read(data)
    assert isinstance(found, Picture)
    return found


@pytest.mark.parametrize("size", [(32, 32), (8, 8), (37, 53), (300, 20), (20, 300), (33, 31), (31, 33), (41, 53), (640, 700), (1400, 520), (520, 1400)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_pillows_bit_for_bit(pictures: Any, size: tuple[int, int], mode: str) -> None:
    page, _, _ = pictures
    data = png(size, mode)
    steps = [["cap", [512], "bicubic"], ["square", [32], "bilinear"]]
    assert (in_page(page, data, steps) == read(data).pixels(32).astype(np.int64).ravel()).all()


def test_transparent_and_turned_pictures(pictures: Any) -> None:
    page, _, _ = pictures
    steps = [["cap", [512], "bicubic"], ["square", [32], "bilinear"]]
    data = png((40, 24), "RGBA")
    assert np.abs(in_page(page, data, steps) - read(data).pixels(32).astype(np.int64).ravel()).max() <= 2
    file, exif = io.BytesIO(), Pillow.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Pillow.open(io.BytesIO(png((40, 24)))).save(file, "JPEG", exif=exif, quality=95)
    assert np.abs(in_page(page, file.getvalue(), steps) - read(file.getvalue()).pixels(32).astype(np.int64).ravel()).max() <= 2


def test_a_page_answers_pictures_as_the_server_does(pictures: Any) -> None:
    page, bundle, desk = pictures
    for data in (png((50, 70)), png((700, 640), seed=1), b"no picture", png((9, 9))[:60]):
        row = {"image": base64.b64encode(data).decode()}
        assert same(here(bundle, desk, row), page.evaluate("(row) => product.predict(row)", row))
    file = io.BytesIO()
    Pillow.open(io.BytesIO(png((90, 60)))).save(file, "JPEG", quality=90)
    row = {"image": base64.b64encode(file.getvalue()).decode()}
    assert same(here(bundle, desk, row), page.evaluate("(row) => product.predict(row)", row), near=0.01)


def test_a_page_answers_pictures_on_the_trunk_as_the_server_does(browser: Any, tmp_path: Path) -> None:
    refused = find("efficientnet-lite0").available()
    if refused is not None:
        pytest.skip(refused.message)
    bundle, desk = parts.on_trunk(tmp_path, "efficientnet-lite0", "image"), parts.desk(tmp_path)
    export_for(bundle, "browser", tmp_path / "out", desk)
    with opened(browser, tmp_path / "out") as page:
        for data in (png((300, 240)), png((41, 530), seed=1), png((1100, 700), seed=2)):
            row = {"image": base64.b64encode(data).decode()}
            assert same(here(bundle, desk, row), page.evaluate("(row) => product.predict(row)", row), 1e-4)


def test_a_file_that_is_chosen_is_answered(pictures: Any, tmp_path: Path) -> None:
    page, bundle, desk = pictures
    data = png((50, 70), seed=3)
    (tmp_path / "a.png").write_bytes(data)
    page.locator("input[type=file]").set_input_files(str(tmp_path / "a.png"))
    page.locator("#ask").click()
    page.locator("#answer").filter(has_text="status").wait_for()
    wanted = here(bundle, desk, {"image": base64.b64encode(data).decode()})
    assert f'"label": "{wanted["label"]}"' in page.locator("#answer").inner_text()

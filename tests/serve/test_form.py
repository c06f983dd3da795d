"""Rows as a form: what parts become, and what is no form. Files reach a product in tests/test_image_product.py."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from tests.serve.live import live
from tests.serve.parts import make_product

from trunkline.errors import RequestError
from trunkline.serve.app import build
from trunkline.serve.form import Form, wanted
from trunkline.serve.live import LiveCatalog
from trunkline.serve.wire import PredictRequest, TooLargeError, WrongRequestError

URL = "http://127.0.0.1/v1/products/photos/predict"


def read(body: bytes, media: str, columns: tuple[str, ...] = ("image", "words"), most: int = 3, step: int = 7) -> PredictRequest:
    request = Request({"type": "http", "headers": [(b"content-type", media.encode())]})
    assert wanted(request)
    form = Form(request, columns, most)
    for at in range(0, len(body), step):
        form.feed(body[at : at + step])
    return form.request()


def sent(files: list[tuple[str, Any]], data: dict[str, Any] | None = None) -> tuple[bytes, str]:
    """As a real client writes it."""
    made = httpx.Request("POST", URL, files=files, data=data)
    return made.read(), made.headers["content-type"]


@given(st.lists(st.tuples(st.binary(max_size=300), st.text(st.characters(exclude_categories=["Cs"]), max_size=50)), min_size=1, max_size=3))
def test_a_part_is_a_cell_and_parts_of_one_name_are_rows(rows: list[tuple[bytes, str]]) -> None:
    files = [("image", (f"{at}.jpg", content, "image/jpeg")) for at, (content, _) in enumerate(rows)]
    found = read(*sent(files, {"words": [text for _, text in rows]}))
    assert found.rows == [{"image": content, "words": text} for content, text in rows]


def test_the_user_is_a_part_unless_a_column_has_that_name() -> None:
    body = sent([("image", ("a.jpg", b"a"))], {"user": "anna", "request_id": "r-1"})
    found = read(*body)
    assert (found.rows, found.user, found.request_id) == ([{"image": b"a"}], "anna", "r-1")
    found = read(*body, columns=("image", "user"))
    assert (found.rows, found.user) == ([{"image": b"a", "user": "anna"}], None)


@pytest.mark.parametrize(
    ("body", "media", "told"),
    [
        (b"", "multipart/form-data", "boundary"),
        (b"", "multipart/form-data; boundary=x", "breaks off"),
        (b"--x--\r\n", "multipart/form-data; boundary=x", "no parts"),
        (b"no form at all", "multipart/form-data; boundary=x", "no part of it"),
        (b"no form at all --x--", "multipart/form-data; boundary=x", "can't be read"),
        (b'--x\r\nContent-Disposition: form-data\r\n\r\nvalue\r\n--x--\r\n', "multipart/form-data; boundary=x", "can't be read"),
    ],
)
def test_what_is_no_form_is_told(body: bytes, media: str, told: str) -> None:
    with pytest.raises(WrongRequestError) as caught:
        read(body, media)
    assert told in str(caught.value)


def test_a_form_that_breaks_off_has_no_last_row() -> None:
    """Without its closing line nobody knows whether a file is whole."""
    body, media = sent([("image", ("a.jpg", b"a" * 100))])
    for cut in (60, 3, 4):
        with pytest.raises(WrongRequestError, match="can't be read"):
            read(body[:-cut], media)


def test_parts_must_make_whole_rows_and_not_too_many() -> None:
    two = [("image", ("a.jpg", b"a")), ("image", ("b.jpg", b"b"))]
    with pytest.raises(WrongRequestError, match="whole rows") as caught:
        read(*sent(two, {"words": "one"}))
    assert caught.value.where == "words"
    with pytest.raises(TooLargeError):
        read(*sent([*two, *two]))


def test_the_user_comes_once_and_as_text() -> None:
    photo = ("image", ("a.jpg", b"a"))
    for doubled in ("user", "request_id"):
        with pytest.raises(WrongRequestError, match=f"several parts '{doubled}'"):
            read(*sent([photo], {doubled: ["anna", "bert"]}))
    with pytest.raises(WrongRequestError, match="is a file"):
        read(*sent([photo, ("user", ("anna.txt", b"anna"))]))


def test_a_part_that_is_no_column_is_refused_before_its_contents_come() -> None:
    body, media = sent([("imgae", ("a.jpg", b"a" * 5_000))])
    request = Request({"type": "http", "headers": [(b"content-type", media.encode())]})
    form = Form(request, ("image", "words"), 3)
    with pytest.raises(WrongRequestError, match="no column") as caught:
        form.feed(body[: body.index(b"aaa")])
    assert (caught.value.found, caught.value.hint) == ("'imgae'", "did you mean 'image'?")
    assert caught.value.wanted == "parts among image, words"


def test_a_text_that_is_none_is_told_rather_than_read_as_other_letters() -> None:
    body, media = sent([("image", ("a.jpg", b"a"))], {"words": "naïve"})
    with pytest.raises(WrongRequestError, match="no text") as caught:
        read(body.replace("ï".encode(), b"\xef"), media)
    assert caught.value.where == "words"


def test_other_bodies_are_no_forms() -> None:
    for media in (b"application/json", b"", b"multipart/mixed; boundary=x"):
        assert not wanted(Request({"type": "http", "headers": [(b"content-type", media)]}))
    assert issubclass(WrongRequestError, RequestError)


def test_a_wrong_part_is_answered_while_its_contents_are_still_to_come(tmp_path: Path) -> None:
    make_product(tmp_path, "support")
    part = b'--x\r\nContent-Disposition: form-data; name="txet"; filename="a"\r\n\r\n' + b"y" * 1_000
    with live(build(LiveCatalog(tmp_path))) as address:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=60) as line:
            line.sendall(
                b"POST /v1/products/support/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + part
            )
            assert line.recv(64).startswith(b"HTTP/1.1 422 ")

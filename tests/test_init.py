"""`trunkline init`: shipped samples, and products guessed from one's own rows."""

from __future__ import annotations

import csv
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import trunkline
from trunkline.errors import DataError, SpecError, TrunklineError
from trunkline.init import TEMPLATES, init_from_file, init_from_template
from trunkline.spec import Spec, load_spec

SAMPLES = Path(trunkline.__file__).parent / "samples"
WORDS = ("my card has not come yet", "我的卡还没有寄到怎么办呢", "the transfer is still pending", "密码忘记了请帮我重置一下")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def written(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def reviews(n: int = 60) -> list[dict[str, Any]]:
    return [
        {"id": f"R{i:04}", "shop": "north", "review": f"{WORDS[i % 4]} {i}", "stars": i % 5 + 1, "empty": ""}
        for i in range(n)
    ]


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_a_template_is_a_product_under_the_users_name(template: str, tmp_path: Path) -> None:
    files = init_from_template(tmp_path / "mine", "mine", template)
    assert {f.name for f in files} == {"product.toml", "train.csv", "test.csv", "README.md", "SOURCE.md"}
    spec = load_spec(tmp_path / "mine")
    assert spec.name == "mine"
    for part in (spec.data.train, spec.data.test):
        assert isinstance(part, str)
        columns = set(rows_of(tmp_path / "mine" / part)[0])
        assert {spec.label, *spec.inputs, *spec.proof.slices} <= columns


@pytest.mark.parametrize("sample", sorted(TEMPLATES.values()))
def test_samples_say_where_they_come_from_in_two_languages(sample: str) -> None:
    source = (SAMPLES / sample / "SOURCE.md").read_text(encoding="utf-8")
    assert all(word in source for word in ("Licence:", "From:", "Changes:"))
    assert "## 中文" in (SAMPLES / sample / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("sample", sorted(TEMPLATES.values()))
def test_no_sample_has_a_row_in_both_parts(sample: str) -> None:
    spec = load_spec(SAMPLES / sample)
    parts = [
        {tuple(row[c] for c in spec.inputs) for row in rows_of(SAMPLES / sample / f"{part}.csv")}
        for part in ("train", "test")
    ]
    assert parts[0].isdisjoint(parts[1])


def test_samples_stay_small() -> None:
    assert sum(f.stat().st_size for f in SAMPLES.rglob("*") if f.is_file()) < 2_000_000


def test_risk_slices_are_no_inputs_and_bad_as_good_costs_five() -> None:
    spec: Spec = load_spec(SAMPLES / "risk")
    assert "age_group" not in spec.inputs
    assert spec.proof.costs["bad"]["good"] == 5 * spec.proof.costs["good"]["bad"]


def test_unknown_template_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'intent'"):
        init_from_template(tmp_path / "x", "x", "intents")


@pytest.mark.parametrize("name", ["Bad Name", "", "../up", "支持"])
def test_a_name_that_fits_no_url_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        init_from_template(tmp_path / "folder", name, "intent")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("mine")
    with pytest.raises(TrunklineError, match=r"train\.csv would be overwritten"):
        init_from_template(tmp_path, "mine", "intent")
    assert [f.name for f in tmp_path.iterdir()] == ["train.csv"]
    assert (tmp_path / "train.csv").read_text() == "mine"


def test_an_existing_folder_without_such_files_is_filled(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep")
    init_from_template(tmp_path, "mine", "risk")
    assert not [f for f in tmp_path.iterdir() if f.name.startswith(".")]
    assert (tmp_path / "notes.txt").read_text() == "keep"
    assert load_spec(tmp_path).name == "mine"


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    for folder in (tmp_path / "new", tmp_path):
        with pytest.raises(TrunklineError, match="No space left"):
            init_from_template(folder, "mine", "intent")
        assert list(tmp_path.iterdir()) == []


def test_from_file_guesses_and_says_so(tmp_path: Path) -> None:
    file = written(tmp_path / "my.csv", reviews())
    guess = init_from_file(tmp_path / "reviews", "reviews", file, "stars", None)
    assert guess.task == "classify"
    assert guess.inputs == {"review": "text"}
    assert set(guess.left_out) == {"id", "shop", "empty"}
    said = "\n".join(guess.notes)
    assert all(word in said for word in ("classify", "'shop' is left out", "未使用 'id'", "'review' 按 text 读取"))
    spec = load_spec(tmp_path / "reviews")
    assert (spec.task, spec.label, spec.data.train, spec.data.id) == ("classify", "stars", "train.csv", "id")
    assert (tmp_path / "reviews" / "train.csv").read_bytes() == file.read_bytes()
    assert guess.files == sorted((tmp_path / "reviews").iterdir())


def test_a_file_inside_the_folder_is_not_copied(tmp_path: Path) -> None:
    written(tmp_path / "my.csv", reviews())
    init_from_file(tmp_path, "reviews", tmp_path / "my.csv", "stars", None)
    assert load_spec(tmp_path).data.train == "my.csv"
    assert {f.name for f in tmp_path.iterdir()} == {"my.csv", "product.toml"}


def test_missing_column_names_the_nearest(tmp_path: Path) -> None:
    file = written(tmp_path / "my.csv", reviews())
    for label, inputs in (("star", None), ("stars", ["reviews"])):
        with pytest.raises(DataError, match=r"did you mean '(stars|review)'"):
            init_from_file(tmp_path / "reviews", "reviews", file, label, inputs)
    assert not (tmp_path / "reviews").exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "empty|no rows"), (b"text,label\n", "no rows"), (b"\x00\x01\xff\xfe\x00junk\x00" * 50, "not|text|NUL|can't")],
)
def test_bad_files_are_refused(content: bytes, match: str, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_bytes(content)
    with pytest.raises(DataError, match=match):
        init_from_file(tmp_path / "new", "new", tmp_path / "my.csv", "label", None)
    assert not (tmp_path / "new").exists()


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    written(tmp_path / "reviews.csv", reviews())
    with pytest.raises(DataError, match=r"did you mean 'reviews\.csv'"):
        init_from_file(tmp_path / "new", "new", tmp_path / "review.csv", "stars", None)


def test_strange_column_names_make_valid_toml(tmp_path: Path) -> None:
    strange = 'what "they"\nsaid # 说了什么?'
    rows = [{strange: f"{WORDS[i % 4]} {i}", "no\nuse": "x", "标签": "好坏"[i % 2]} for i in range(40)]
    file = written(tmp_path / "my.csv", rows)
    init_from_file(tmp_path / "new", "new", file, None, None)
    spec = load_spec(tmp_path / "new")
    assert (spec.label, dict(spec.inputs)) == ("标签", {strange: "text"})


def test_gbk_rows_are_read(tmp_path: Path) -> None:
    text = "评论,标签\n" + "".join(f"{WORDS[1]}第{i}次,{'好坏'[i % 2]}\n" for i in range(60))
    (tmp_path / "my.csv").write_bytes(text.encode("gbk"))
    guess = init_from_file(tmp_path / "new", "new", tmp_path / "my.csv", None, None)
    assert (guess.label, guess.inputs) == ("标签", {"评论": "text"})


def test_the_written_file_says_how_to_go_on(tmp_path: Path) -> None:
    rows = [{**row, "customer_id": f"C{i % 25}"} for i, row in enumerate(reviews(100))]
    file = written(tmp_path / "my.csv", rows)
    init_from_file(tmp_path / "new", "new", file, "stars", None)
    text = (tmp_path / "new" / "product.toml").read_text(encoding="utf-8")
    assert '# group = "customer_id"' in text
    assert tomllib.loads(text)["gate"]["rules"] == ["gain.majority.low > 0"]

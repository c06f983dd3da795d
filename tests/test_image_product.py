"""Products on pictures from files to answers: class folders, paths in a table, Parquet bytes, a text beside a picture."""

from __future__ import annotations

import base64
import csv
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.serve.live import live

from trunkline import Client
from trunkline.desk import Desk
from trunkline.errors import DataError
from trunkline.features import Features
from trunkline.init import init_from_file
from trunkline.inputs.blob import DataFile
from trunkline.product import Product
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.trunks.efficientnet import EfficientNetLite0
from trunkline.views import data_text

pytest.importorskip("PIL")
COLOURS = {"leaf": (30, 160, 40), "fire": (220, 60, 20)}
REFUSED = EfficientNetLite0().available()
needs_trunk = pytest.mark.skipif(REFUSED is not None, reason=REFUSED.message if REFUSED else "")


def picture(colour: tuple[int, int, int], seed: int) -> bytes:
    """A noisy square of about one colour."""
    from PIL import Image

    noise = np.random.default_rng(seed).integers(-30, 30, (24, 24, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def class_folders(folder: Path, each: int, seed: int = 0, classes: Sequence[str] = tuple(COLOURS)) -> Path:
    for at, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            (folder / name / f"{i}.png").write_bytes(picture(COLOURS[name], seed + 1_000 * at + i))
    return folder


def opened(folder: Path) -> Product:
    return Product(folder, Desk(Features(folder.parent / "features")))


@needs_trunk
def test_class_folders_to_answers(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos" / "train", 20)
    class_folders(tmp_path / "photos" / "test", 10, seed=500)
    (tmp_path / "photos" / "train" / "leaf" / "cut.png").write_bytes(picture((0, 0, 0), 1)[:200])
    guess = init_from_file(tmp_path / "plants", "plants", tmp_path / "photos", None, None)
    assert (guess.task, guess.label, dict(guess.inputs)) == ("classify", "label", {"image": "image"})
    plants = opened(tmp_path / "plants")
    assert (plants.spec.data.train, plants.spec.data.test) == ("photos/train", "photos/test")
    report = plants.validate()
    assert report.rows == {"train": 40, "test": 20, "dropped": 1}
    assert "cut.png" in data_text(report)
    bundle = plants.train()
    assert bundle.manifest.passed
    assert bundle.manifest.method == "linear"
    assert bundle.report["metrics"]["accuracy"]["value"] >= 0.95
    assert (bundle.folder / "replay.json").stat().st_size < 5_000
    new = tmp_path / "new.png"
    new.write_bytes(picture(COLOURS["fire"], 9_999))
    ours, gone = plants.predict([plants.row_of(str(new)), plants.row_of(str(tmp_path / "none.png"))])
    assert ours["label"] == "fire"
    assert (gone["status"], gone["error"]) == ("error", "unreadable")
    plants.deploy()
    over_http(tmp_path, new.read_bytes(), ours["scores"])


def over_http(folder: Path, sent: bytes, scores: dict[str, float]) -> None:
    """The same answer, from base64 and from a data URL; a path on the server is no picture."""
    text = base64.b64encode(sent).decode()
    cells = [text, f"data:image/png;base64,{text}", str(folder / "new.png"), base64.b64encode(b"no picture").decode()]
    (folder / "new.png").write_bytes(base64.b64decode(cells[0].rpartition(",")[2]))
    with live(build(LiveCatalog(folder))) as host, Client(f"http://{host}") as real:
        by_file = real.predict("plants", [{"image": folder / "new.png"}, {"image": (folder / "new.png").read_bytes()}], all_scores=True)
        assert [dict(answer.scores) for answer in by_file] == [pytest.approx(scores)] * 2
    with TestClient(build(LiveCatalog(folder)), "http://127.0.0.1") as client:
        answered = client.post("/v1/products/plants/predict", json={"rows": [{"image": cell} for cell in cells]})
        first, second, path, other = answered.json()["answers"]
        assert first["scores"] == second["scores"] == pytest.approx(scores)
        assert (path["error"], other["error"]) == ("unreadable", "unreadable")
        assert "its content is not known" in other["message"]
        vectors = client.post("/v1/embeddings", json={"model": "plants", "input": "a leaf"})
        assert vectors.status_code == 400
        assert "text trunk" in vectors.text


def table(folder: Path, n: int, path: str = "pics/{i}.png") -> Path:
    """rows.csv: photo (a path), words, what; the colour says one half of the answer, the words the other."""
    (folder / "pics").mkdir(parents=True)
    with (folder / "rows.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["photo", "words", "what"])
        for i in range(n):
            colour, size = list(COLOURS)[i % 2], ("a small one", "a large one")[i // 2 % 2]
            (folder / "pics" / f"{i}.png").write_bytes(picture(COLOURS[colour], i))
            rows.writerow([path.format(i=i), f"{size}, sent in as number {i}", f"{size.split()[1]} {colour}"])
    return folder / "rows.csv"


@needs_trunk
def test_a_text_and_a_picture_together_tell_what_neither_tells_alone(tmp_path: Path) -> None:
    source = table(tmp_path / "given", 120)
    guess = init_from_file(tmp_path / "both", "both", source, "what", None)
    assert dict(guess.inputs) == {"photo": "image", "words": "text"}
    toml = tmp_path / "both" / "product.toml"
    toml.write_text(toml.read_text() + '[trunks]\ntext = "hash"\n')
    both = opened(tmp_path / "both")
    bundle = both.train()
    assert bundle.report["metrics"]["accuracy"]["value"] > 0.9
    assert bundle.report["metrics"]["accuracy"]["baselines"]["ngrams"]["value"] < 0.7
    assert [card.kind for card in bundle.manifest.trunks] == ["image", "text"]
    row = {"photo": base64.b64encode(picture(COLOURS["leaf"], 7_777)).decode(), "words": "a large one, sent in as number 300"}
    both.deploy()
    with TestClient(build(LiveCatalog(tmp_path)), "http://127.0.0.1") as client:
        answer = client.post("/v1/products/both/predict", json={"rows": [row]}).json()["answers"][0]
        assert answer["label"] == "large leaf"
        form = {"photo": ("leaf.png", base64.b64decode(row["photo"]), "image/png")}
        sent = client.post("/v1/products/both/predict", files=form, data={"words": row["words"], "request_id": "r-7"})
        assert (sent.json()["answers"], sent.headers["x-request-id"]) == ([answer], "r-7")
        two = client.post("/v1/products/both/predict", files=[("photo", form["photo"])] * 2, data={"words": [row["words"], "?"]})
        assert (two.json()["answers"][0], len(two.json()["answers"])) == (answer, 2)
        swapped = client.post("/v1/products/both/predict", files={"words": form["photo"]}, data={"photo": "a leaf"})
        assert swapped.json()["answers"][0]["error"] == "unreadable"
        forms = client.get("/openapi.json").json()["paths"]["/v1/products/both/predict"]["post"]["requestBody"]["content"]
        assert forms["multipart/form-data"]["schema"]["properties"]["photo"]["items"]["format"] == "binary"
        assert client.post("/v1/embeddings", json={"model": "both", "input": "a leaf"}).status_code == 200
        assert 'engine="trunk:efficientnet-lite0+trunk:hash"' in client.get("/metrics").text


@pytest.mark.parametrize("path", ["../{i}.png", "/etc/{i}.png"])
def test_paths_that_leave_the_tables_folder_are_refused(tmp_path: Path, path: str) -> None:
    source = table(tmp_path / "given", 8, path)
    with pytest.raises(DataError, match="leaves the folder") as caught:
        init_from_file(tmp_path / "out", "out", source, "what", None)
    assert "row 1" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_parquet_bytes_and_paths_that_are_there_or_not(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    data = picture(COLOURS["leaf"], 0)
    (tmp_path / "photo").write_bytes(data)
    cells: dict[str, list[Any]] = {"a": [data], "b": [{"bytes": data, "path": "x.png"}], "c": ["photo"], "d": [base64.b64encode(data).decode()]}
    pq.write_table(pa.table({**cells, "e": ["gone.png"], "label": ["leaf"]}), tmp_path / "rows.parquet")
    (tmp_path / "product.toml").write_text(
        'name = "x"\ntask = "classify"\nlabel = "label"\n[inputs]\n'
        + "\n".join(f'{name} = "image"' for name in "abcde")
        + '\n[data]\ntrain = "rows.parquet"\n'
    )
    (row,) = Product(tmp_path).rows_of(tmp_path / "rows.parquet")
    assert [row[name] for name in "abcde"] == [
        data, data, DataFile(tmp_path / "photo"), cells["d"][0], DataFile(tmp_path / "gone.png")
    ]  # fmt: skip


def test_one_class_and_parts_in_a_folder_are_told(tmp_path: Path) -> None:
    class_folders(tmp_path / "one", 3, classes=["leaf"])
    with pytest.raises(DataError, match="one value only"):
        init_from_file(tmp_path / "p", "p", tmp_path / "one", None, None)
    class_folders(tmp_path / "two" / "train", 3)
    class_folders(tmp_path / "two" / "test", 3)
    (tmp_path / "product.toml").write_text(
        'name = "x"\ntask = "classify"\nlabel = "label"\n[inputs]\nimage = "image"\n[data]\ntrain = "two"\n'
    )
    with pytest.raises(DataError, match="training and a test part") as caught:
        Product(tmp_path).validate()
    assert 'test = "two/test"' in caught.value.hint


@needs_trunk
def test_the_image_trunk_is_learned_further_and_answers_without_torch(tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "accelerate"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    class_folders(tmp_path / "photos", 20)
    (tmp_path / "product.toml").write_text(
        'name = "plants"\ntask = "classify"\nlabel = "label"\n[inputs]\nimage = "image"\n[data]\ntrain = "photos"\n'
        '[method]\nname = "finetune"\n[method.settings]\nside = 32\nepochs = 3\nrate = 0.001\n'
    )
    plants = opened(tmp_path)
    bundle = plants.train()
    assert bundle.report["metrics"]["accuracy"]["value"] == 1
    assert "own/net/model.onnx" in bundle.manifest.files
    new = tmp_path / "new.png"
    new.write_bytes(picture(COLOURS["leaf"], 9_999))
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None, accelerate=None)\n"
        f"from trunkline import Product; p = Product({str(tmp_path)!r}); print(next(iter(p.predict([p.row_of({str(new)!r})])))['label'])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout.strip() == "leaf", told.stderr

"""Products that learn pictures or sounds from scratch: from files in Parquet to a bundle that answers without torch."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

import soundfile
from PIL import Image as Pillow
from starlette.testclient import TestClient

from trunkline.bundle import Bundle
from trunkline.desk import Desk
from trunkline.engines.own import OwnNetwork
from trunkline.errors import SpecError
from trunkline.explain.subject import Subject
from trunkline.explain.why import Asked, Explanation, explaining
from trunkline.features import Features
from trunkline.heads import HEADS
from trunkline.inputs import KINDS
from trunkline.methods import METHODS
from trunkline.methods.settings import check_settings
from trunkline.product import Product
from trunkline.program import one
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.spec import parse_spec
from trunkline.tasks import TASKS
from trunkline.types import Candidate, Decision, Examples, Refused

QUICK: dict[str, Any] = {"epochs": 4, "batch": 8, "rate": 0.01, "folds": 2, "patience": 0, "side": 8, "seconds": 0.2}
COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
PITCHES = {"low": 300.0, "high": 1_500.0}


def picture(label: str, rng: np.random.Generator) -> bytes:
    """A PNG of the colour, any size, with noise."""
    height, width = rng.integers(12, 40, 2).tolist()
    pixels = np.clip(np.array(COLOURS[label]) + rng.normal(0, 25, (height, width, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def sound(label: str, rng: np.random.Generator) -> bytes:
    """A WAV of about a third of a second at 8,000 samples a second, the tone at any loudness, with noise."""
    n = int(rng.integers(1_600, 3_600))
    pitch = PITCHES[label] * rng.uniform(0.95, 1.05)
    samples = rng.uniform(0.1, 0.8) * np.sin(2 * np.pi * pitch * np.arange(n) / 8_000) + rng.normal(0, 0.01, n)
    file = io.BytesIO()
    soundfile.write(file, samples, 8_000, format="WAV")
    return file.getvalue()


MAKE = {"image": (picture, tuple(COLOURS)), "audio": (sound, tuple(PITCHES))}


def files(kind: str, n: int, seed: int = 0) -> list[tuple[bytes, str]]:
    """(bytes, label), the labels in turn."""
    make, labels = MAKE[kind]
    rng = np.random.default_rng(seed)
    return [(make(labels[at % len(labels)], rng), labels[at % len(labels)]) for at in range(n)]


def examples(kind: str, task: str = "classify", n: int = 60) -> Examples:
    rows, labels = files(kind, n), MAKE[kind][1]
    part = KINDS.get(kind)()
    inputs = [{"file": part.read(data)} for data, _ in rows]
    at = np.array([labels.index(label) for _, label in rows])
    target: Any = {"classify": at, "multilabel": np.eye(len(labels), dtype=bool)[at], "regress": at * 10.0 + 5}[task]
    keys = [part.key(row["file"]) for row in inputs]
    return Examples(inputs, target, () if task == "regress" else labels, keys, np.arange(n))


def made(kind: str, known: Examples, task: str = "classify", **settings: Any) -> Candidate:
    method = {"name": "cnn", "settings": {**QUICK, **settings}}
    spec = parse_spec({"name": "x", "task": task, "label": "label", "inputs": {"file": kind}, "method": method})
    part = METHODS.get("cnn")()
    assert part.can(spec, known) is None
    return part.fit(spec, known, TASKS.get(task)().folds(known, 5, 0), no_trunk)


def no_trunk(calls: Any) -> Any:
    raise AssertionError("no trunk is asked")


def ask_of(candidate: Candidate) -> Any:
    engines = {name: network.load() for name, network in candidate.networks.items()}
    return lambda calls: [engines[call.engine].run(call) for call in calls]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("task", ["classify", "multilabel", "regress"])
def test_pictures_and_sounds_are_learned_for_every_task(kind: str, task: str) -> None:
    known = examples(kind, task)
    found = made(kind, known, task, epochs=16 if task == "regress" else QUICK["epochs"])
    values = one(found.head.run(known.inputs), ask_of(found)).values
    assert found.settings["onnx_difference"] < 1e-4
    assert found.out_of_fold.values.shape == values.shape
    for said in (values, found.out_of_fold.values):
        if task == "regress":
            assert np.corrcoef(said, known.target)[0, 1] > 0.8
        else:
            wanted = known.target if task == "classify" else known.target.argmax(1)
            assert (said.argmax(1) == wanted).mean() > 0.9


@pytest.mark.parametrize("kind", MAKE)
def test_a_row_alone_has_the_bits_it_has_among_others_and_a_saved_head_gives_them_too(kind: str) -> None:
    known = examples(kind, n=24)
    found = made(kind, known, epochs=1)
    ask = ask_of(found)
    together = one(found.head.run(known.inputs), ask).values
    alone = np.concatenate([one(found.head.run([row]), ask).values for row in known.inputs])
    assert together.tobytes() == alone.tobytes()
    again = HEADS.get(found.head.format).load(*found.head.save())
    assert one(again.run(known.inputs), ask).values.tobytes() == together.tobytes()


@pytest.mark.parametrize("task", ["classify", "multilabel", "regress"])
def test_regions_add_up_to_what_the_network_answers(task: str) -> None:
    known = examples("image", task, n=24)
    found = made("image", known, task, epochs=1)
    subject = Subject(found.head, TASKS.get(task)(), Decision(thresholds=(0.5,) * 3), known.labels, {"file": "image"})
    _, told = one(explaining(subject, known.inputs[0], Asked(method="cam", top=16)), ask_of(found))
    assert isinstance(told, Explanation)
    assert (told.method, told.parts, told.rows) == ("cam", 16, 1)
    assert (told.base is None) == (task == "classify")
    if told.base is not None:
        assert told.base + sum(reason.weight for reason in told.reasons) == pytest.approx(told.figure, abs=1e-6)


def test_a_sound_has_no_regions() -> None:
    known = examples("audio", n=24)
    found = made("audio", known, epochs=1)
    subject = Subject(found.head, TASKS.get("classify")(), Decision(), known.labels, {"file": "audio"})
    _, told = one(explaining(subject, known.inputs[0], Asked(method="cam")), ask_of(found))
    assert isinstance(told, Refused)
    assert told.code == "no_parts"


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("how", [{"augment": "none"}, {"augment": "strong", "flip": True}])
def test_augmentation_changes_what_is_learned_and_learning_twice_gives_the_same_bits(kind: str, how: dict[str, Any]) -> None:
    known = examples(kind, n=24)
    first, second = (made(kind, known, epochs=1, **how) for _ in range(2))
    assert first.out_of_fold.values.tobytes() == second.out_of_fold.values.tobytes()
    assert first.out_of_fold.values.tobytes() != made(kind, known, epochs=1).out_of_fold.values.tobytes()


@pytest.mark.parametrize("kind", MAKE)
def test_engines_are_measured_on_rows_of_the_networks_own_shape(kind: str) -> None:
    network = made(kind, examples(kind, n=24), epochs=1).networks["own:net"]
    assert isinstance(network, OwnNetwork)
    engine = network.load()
    (call,) = engine.examples()
    assert engine.run(call).shape == (len(call.items), 3 if kind == "image" else 1)  # of two classes one logit


def test_a_sound_of_one_sample_has_an_answer() -> None:
    found = made("audio", examples("audio", n=24), epochs=1)
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1), 8_000, format="WAV")
    values = one(found.head.run([{"file": KINDS.get("audio")().read(file.getvalue())}]), ask_of(found)).values
    assert np.isfinite(values).all()


@pytest.mark.parametrize("inputs", [{"a": "image", "b": "image"}, {"a": "text"}, {"a": "audio", "b": "number"}])
def test_what_it_can_not_do_it_says(inputs: dict[str, str]) -> None:
    spec = parse_spec({"name": "x", "task": "classify", "label": "label", "inputs": inputs, "method": {"name": "cnn"}})
    found = METHODS.get("cnn")().can(spec, examples("image", n=3))
    assert isinstance(found, Refused)
    assert "one column of kind image or audio" in found.message


def test_pictures_may_start_from_a_body_learned_without_labels(cache: None, tmp_path: Path) -> None:
    from trunkline.pretraining.pictures import StartSettings, pretrain_pictures

    known = examples("image")
    start = pretrain_pictures([row["file"] for row in known.inputs], StartSettings(side=16, epochs=2), 0, tmp_path / "start")
    scratch, begun = made("image", known), made("image", known, start=str(tmp_path / "start"))
    assert start.pictures == len(known)
    assert not np.array_equal(scratch.out_of_fold.values, begun.out_of_fold.values)
    method = {"name": "cnn", "settings": {"start": str(tmp_path / "start")}}
    with pytest.raises(SpecError, match="only pictures"):
        check_settings(parse_spec({"name": "x", "task": "classify", "label": "label", "inputs": {"file": "audio"}, "method": method}))


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(SpecError, match="side"):
        made("image", examples("image", n=30), side=4)


def product(folder: Path, kind: str) -> Product:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    for name, n, seed in (("train", 120, 0), ("test", 40, 1)):
        rows = files(kind, n, seed)
        table = pa.table({"file": [data for data, _ in rows], "label": [label for _, label in rows]})
        pq.write_table(table, folder / f"{name}.parquet")
    told = "\n".join(f"{name} = {value}" for name, value in QUICK.items())
    (folder / "product.toml").write_text(
        f'name = "files"\ntask = "classify"\nlabel = "label"\ninputs = {{ file = "{kind}" }}\n'
        f'data = {{ train = "train.parquet", test = "test.parquet" }}\n[method]\nname = "cnn"\n[method.settings]\n{told}\n',
        encoding="utf-8",
    )
    return Product(folder, Desk(Features(folder.parent / "features")))


def shown_by_regions(bundle: Bundle, kind: str) -> None:
    """A server tells the same as Python; a product of sounds has no regions."""
    row = {"file": base64.b64encode(files(kind, 1, 2)[0][0]).decode()}
    (wanted,) = Product(bundle.folder.parent.parent).why([row], method="cam")
    with TestClient(build(LiveCatalog(bundle.folder.parent.parent)), "http://127.0.0.1") as client:
        reply = client.post(f"/v1/products/{bundle.name}/why", json={"row": row, "method": "cam"})
    (answer,) = reply.json()["answers"]
    if kind == "audio":
        assert answer["why_not"] == wanted["why_not"]
        assert answer["why_not"]["error"] == "no_parts"
        return
    assert (answer["why"]["method"], answer["why"]["rows"]) == ("cam", 1)
    weights, others = ({one["name"]: one["weight"] for one in each["why"]["reasons"]} for each in (answer, wanted))
    assert weights == pytest.approx(others, abs=1e-6)


@pytest.mark.parametrize("kind", MAKE)
def test_from_files_to_a_bundle_that_answers_without_torch(kind: str, tmp_path: Path) -> None:
    bundle = product(tmp_path / "p", kind).train()
    assert bundle.report["metrics"]["accuracy"]["value"] > 0.9
    assert len(bundle.report["epochs"]) == QUICK["epochs"]
    filters = bundle.report["inside"]["filters"]
    assert len(filters) == (24 if kind == "image" else 0)
    assert {len(one["pixels"]) for one in filters} <= {9}
    assert ('id="inside"' in (bundle.folder / "report.html").read_text(encoding="utf-8")) == (kind == "image")
    shown_by_regions(bundle, kind)
    again = Bundle.open(bundle.folder)
    rows = [{"file": base64.b64encode(data).decode()} for data, _ in files(kind, 6, 2)]
    code = (
        "import sys\nfrom pathlib import Path\nfrom trunkline.bundle import Bundle\nfrom trunkline.desk import Desk\n"
        "from trunkline.inputs.row import RowReader\nfrom trunkline.program import one\n"
        f"bundle = Bundle.open(Path({str(again.folder)!r}))\nreader = RowReader(bundle.spec.inputs)\n"
        f"read = [reader.read(row) for row in {rows!r}]\n"
        "values = one(bundle.head().run(read), Desk().ask_uncached(bundle.engines)).values\n"
        "print([bundle.labels[at] for at in values.argmax(1)], [m for m in ('torch', 'accelerate', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == f"{[label for _, label in files(kind, 6, 2)]} []"

"""Products for phones and browsers: the exported file against the bundle's own answers, and what can't go there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from tests.exporting import parts
from tests.networks import REAL, H, linear, save

pytest.importorskip("torch", reason="torch is not installed")

from trunkline.bundle import Bundle
from trunkline.cli import main
from trunkline.errors import BundleError, TrunklineError
from trunkline.exporting.needs import EXAMPLES, MODEL, NEEDS, Needs
from trunkline.exporting.operators import check_operators
from trunkline.exporting.ort_format import OPERATORS, to_ort
from trunkline.exporting.portable import export_for
from trunkline.files import digest_file
from trunkline.heads.constant import ConstantHead
from trunkline.heads.onnx import OnnxHead, Reading, Tensor
from trunkline.shelf import Shelf
from trunkline.types import Decision

DECISIONS = {
    "plain": Decision(),
    "warm": Decision(temperature=1.7, abstain_below=0.5),
    "priced": Decision(temperature=0.6, costs=((0.0, 1.0, 9.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0))),
}


def exported(bundle: Bundle, tmp_path: Path, target: Any = "phone") -> tuple[Needs, Path]:
    folder = tmp_path / "out"
    return export_for(bundle, target, folder, parts.desk(tmp_path)), folder


def run(folder: Path, inputs: dict[str, list[Any]], needs: Needs) -> list[Any]:
    """What plain ONNX Runtime gives for one row, by product.json alone."""
    session = onnxruntime.InferenceSession(str(folder / needs.network.file), providers=["CPUExecutionProvider"])
    types = {read.tensor: read.type for read in needs.reads}
    feed = {name: np.array([cells], types[name]) for name, cells in inputs.items()}
    return [output[0] for output in session.run([output.name for output in needs.outputs], feed)]


def examples(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / EXAMPLES).read_bytes()))


@pytest.mark.parametrize("kind", parts.KINDS)
@pytest.mark.parametrize("decision", DECISIONS)
def test_a_text_network_answers_as_its_bundle(kind: str, decision: str, tmp_path: Path) -> None:
    bundle = parts.text_product(tmp_path, kind, DECISIONS[decision])
    needs, folder = exported(bundle, tmp_path)
    assert needs.check.largest_difference < 1e-5
    assert msgspec.json.decode((folder / NEEDS).read_bytes(), type=Needs) == needs
    for example in examples(folder):
        (given,) = run(folder, example["inputs"], needs)
        assert np.abs(given - list(example["answer"]["scores"].values())).max() < 1e-5
        assert set(example["answer"]["scores"]) == set(needs.labels)
    assert (needs.answers, needs.version, needs.made_for) == (bundle.manifest.digest.answers, "v1", "phone")
    assert {name: digest_file(folder / name) for name in needs.files} == needs.files
    assert {path.name for path in folder.iterdir()} == {*needs.files, NEEDS}


def test_a_batch_that_is_padded_gives_the_rows_their_own_answers(tmp_path: Path) -> None:
    needs, folder = exported(parts.text_product(tmp_path, "lstm"), tmp_path)
    session = onnxruntime.InferenceSession(str(folder / MODEL), providers=["CPUExecutionProvider"])
    rows = [example["inputs"]["ids"] for example in examples(folder)]
    block = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for place, row in zip(block, rows, strict=True):
        place[: len(row)] = row
    (together,) = session.run(None, {"ids": block})
    assert np.abs(together - [list(e["answer"]["scores"].values()) for e in examples(folder)]).max() < 1e-5
    assert needs.reads[0].shape == ("rows", "words")


def test_a_phone_gets_the_runtimes_own_format_too_and_it_answers_alike(tmp_path: Path) -> None:
    needs, folder = exported(parts.text_product(tmp_path, "gru"), tmp_path)
    (also,) = needs.also
    assert (also.file, also.format, also.bytes) == ("model.ort", "ort", (folder / "model.ort").stat().st_size)
    assert also.largest_difference < 1e-5
    session = onnxruntime.InferenceSession(str(folder / also.file), providers=["CPUExecutionProvider"])
    for example in examples(folder):
        (given,) = session.run(["probabilities"], {"ids": np.array([example["inputs"]["ids"]], np.int64)})
        assert np.abs(given[0] - list(example["answer"]["scores"].values())).max() < 1e-5
    wanted = (folder / OPERATORS).read_text("utf-8")
    assert "GRU" in wanted
    assert "Softmax" in wanted


def test_a_converter_that_fails_says_at_what(tmp_path: Path) -> None:
    node = H.make_node("Wish", ["x"], ["y"], domain="com.microsoft")
    path = save(tmp_path / "m.onnx", [node], [("x", REAL, ["n"])], [("y", REAL, ["n"])], {})
    with pytest.raises(BundleError, match="can't write the network") as caught:
        to_ort(path)
    assert "Wish" in str(caught.value)


def test_the_command_writes_the_folder_and_says_what_it_compared(tmp_path: Path) -> None:
    Shelf(tmp_path / "p").take(parts.text_product(tmp_path / "made"))
    command = ["export", str(tmp_path / "p"), "--for", "browser"]
    done = CliRunner().invoke(main, [*command, "--to", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "12 rows compared with the bundle" in done.output
    assert (tmp_path / "out" / "index.html").is_file()
    again = CliRunner().invoke(main, [*command, "--to", str(tmp_path / "out"), "--json"])
    assert (again.exit_code, json.loads(again.output)["what"]) == (2, "this folder exists already")
    half = CliRunner().invoke(main, command)
    assert half.exit_code == 2
    assert "--for and --to go together" in half.output


def test_thresholds_of_many_labels_are_in_the_network(tmp_path: Path) -> None:
    decision = Decision(thresholds=(0.2, 0.5, 0.9))
    needs, folder = exported(parts.text_product(tmp_path, decision=decision, task="multilabel"), tmp_path)
    for example in examples(folder):
        (given,) = run(folder, example["inputs"], needs)
        said = [label for label, value in zip(needs.labels, given, strict=True) if value >= 0.5]
        assert said == example["answer"]["labels"]


def test_a_number_is_a_number(tmp_path: Path) -> None:
    needs, folder = exported(parts.text_product(tmp_path, decision=Decision(residual=2.0), task="regress"), tmp_path)
    example = examples(folder)[0]
    (given,) = run(folder, example["inputs"], needs)
    assert given == pytest.approx(example["answer"]["value"], abs=1e-5)
    assert [output.name for output in needs.outputs] == ["value"]


def test_a_picture_network_takes_pixels(tmp_path: Path) -> None:
    needs, folder = exported(parts.image_product(tmp_path), tmp_path)
    (read,) = needs.reads
    assert (read.type, read.shape) == ("uint8", ("rows", 3, 32, 32))
    for example in examples(folder):
        (given,) = run(folder, example["inputs"], needs)
        assert np.abs(given - list(example["answer"]["scores"].values())).max() < 1e-5


def table(tmp_path: Path, holds: str, model: Path, labels: tuple[str, ...] = ("no", "yes"), **more: Any) -> Bundle:
    tensor = Tensor("x", ("age", "shop"), codes={"shop": ("own", "rent")}, unseen=-1.0, missing=2.0)
    order = tuple(reversed(range(len(labels))))
    head = OnnxHead([tensor], np.array([40.0, 0.0]), np.array([10.0, 1.0]), "", Reading(holds, "classify", labels[::-1], order))
    files = parts.network_files(model.read_bytes())
    return parts.frozen(tmp_path / "v1", {"age": "number", "shop": "category"}, head, labels=labels, files=files, **more)


@pytest.mark.parametrize(
    ("end", "width", "holds"), [("Identity", 2, "logits"), ("Softmax", 2, "probabilities"), ("Identity", 1, "logits"), ("Sigmoid", 1, "probabilities")]
)
def test_a_network_of_ones_own_reads_a_table(end: str, width: int, holds: str, tmp_path: Path) -> None:
    weights = np.array([[1.0, -0.5], [0.3, 0.8]])[:, :width]
    model = linear(tmp_path / "m.onnx", weights, [0.1, -0.2][:width], end)
    needs, folder = exported(table(tmp_path, holds, model), tmp_path)
    assert len({example["answer"]["label"] for example in examples(folder)}) == 2
    for example in examples(folder):
        (given,) = run(folder, example["inputs"], needs)
        assert np.abs(given - [example["answer"]["scores"][label] for label in needs.labels]).max() < 1e-5


def test_a_network_that_answers_otherwise_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.exporting.portable.finished", lambda tail, values, _: tail.add("Sqrt", values))
    with pytest.raises(BundleError, match="doesn't answer as the bundle does") as caught:
        exported(parts.text_product(tmp_path), tmp_path)
    assert "a difference of 0." in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_a_folder_that_is_taken_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(TrunklineError, match="exists already"):
        exported(parts.text_product(tmp_path), tmp_path)
    assert not list((tmp_path / "out").iterdir())


def test_an_operator_that_the_runtime_lacks_is_named(tmp_path: Path) -> None:
    nodes = [H.make_node("Relu", ["x"], ["r"]), H.make_node("Wish", ["r"], ["w"], domain="com.microsoft"), H.make_node("Hope", ["w"], ["y"], domain="ai.onnx.ml")]
    path = save(tmp_path / "m.onnx", nodes, [("x", REAL, ["n", 2])], [("y", REAL, ["n", 2])], {})
    with pytest.raises(BundleError) as caught:
        check_operators(onnx.load(str(path)), "phone")
    told = str(caught.value)
    assert "lacks on a phone" in told
    assert "ai.onnx.ml:Hope" in told
    assert "com.microsoft:Wish" in told
    assert "Relu" not in told


def test_operators_in_inner_graphs_are_seen_and_known_ones_pass(tmp_path: Path) -> None:
    inner = H.make_graph([H.make_node("Wish", [], ["z"], domain="com.microsoft")], "then", [], [H.make_tensor_value_info("z", REAL, [1])])
    other = H.make_graph([H.make_node("Constant", [], ["q"], value_float=1.0)], "else", [], [H.make_tensor_value_info("q", REAL, [])])
    nodes = [H.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=other)]
    path = save(tmp_path / "m.onnx", nodes, [("c", onnx.TensorProto.BOOL, [1])], [("y", REAL, [1])], {})
    with pytest.raises(BundleError, match="lacks") as caught:
        check_operators(onnx.load(str(path)), "browser")
    assert "com.microsoft:Wish" in str(caught.value)
    made = save(tmp_path / "k.onnx", [H.make_node("Celu", ["x"], ["y"])], [("x", REAL, ["n"])], [("y", REAL, ["n"])], {})
    check_operators(onnx.load(str(made)), "browser")


@pytest.mark.parametrize(
    ("tensor", "kinds", "words"),
    [
        (Tensor("x", ("day",)), {"day": "date"}, "it reads dates"),
        (Tensor("x", ("voice",), seconds=1.0), {"voice": "audio"}, "it reads sounds"),
        (Tensor("x", ("shop",), strings=True), {"shop": "category"}, "takes strings"),
        (Tensor("x", ("text",), trunk="trunk:hash"), {"text": "text"}, "vectors of trunk:hash"),
    ],
)
def test_what_can_not_go_says_why(tensor: Tensor, kinds: dict[str, str], words: str, tmp_path: Path) -> None:
    model = linear(tmp_path / "m.onnx", [[1.0, -1.0, 0.0]], [0, 0, 0])
    scales = np.zeros(tensor.numbers), np.ones(tensor.numbers)
    head = OnnxHead([tensor], *scales, "", Reading("probabilities", "classify", parts.LABELS, (0, 1, 2)))
    bundle = parts.frozen(tmp_path / "v1", kinds, head, files=parts.network_files(model.read_bytes()))
    with pytest.raises(BundleError, match="can't be exported") as caught:
        exported(bundle, tmp_path)
    assert words in str(caught.value)


def test_a_head_that_is_no_graph_says_so(tmp_path: Path) -> None:
    bundle = parts.frozen(tmp_path / "v1", {"text": "text"}, ConstantHead(np.array([0.2, 0.3, 0.5])))
    with pytest.raises(BundleError, match="can't be exported") as caught:
        exported(bundle, tmp_path)
    assert "constant" in str(caught.value)

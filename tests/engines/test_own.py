from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.networks import INT, REAL, TEXT, H, linear, save, thresholds

from trunkline.engines import measure as measuring
from trunkline.engines.own import MODEL, RECORD, TOGETHER, Measured, OwnEngine, OwnNetwork
from trunkline.errors import BundleError, DataError
from trunkline.files import digest_file
from trunkline.inputs.tensors import TENSORS
from trunkline.trunks.owned import bundled, packed
from trunkline.types import Call

RNG = np.random.default_rng(0)


def call(*rows: Sequence[Any], names: tuple[str, ...] = ("x",), output: str = "") -> Call:
    return Call("own:net", rows, "outputs", options=(("output", output), ("tensors", names)))


def numbers(n: int, k: int) -> list[tuple[Any, ...]]:
    return [(row,) for row in RNG.normal(size=(n, k))]


def wide(folder: Path) -> Path:
    """A product whose bits depend on how many rows go together."""
    return linear(folder / "m.onnx", RNG.normal(size=(200, 9)), np.zeros(9))


def test_a_network_is_an_engine(tmp_path: Path) -> None:
    network = OwnNetwork(linear(tmp_path / "m.onnx", [[1, 2], [3, 4]], [0, 1], "Identity"))
    engine = network.load()
    assert engine.run(call((np.array([1.0, 1.0]),), (np.array([0.0, 2.0]),))).tolist() == [[4, 7], [6, 9]]
    assert (engine.card.kind, engine.card.runtime) == (TENSORS, "onnxruntime")
    assert engine.cost((np.zeros(2),)) > 0
    assert [out.tolist() for out in engine.stream(call((np.zeros(2),)))] == [[[0, 1]]]
    assert engine.run(call()).shape == (0, 0)


def test_its_name_is_its_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "two"
    for folder, weight in ((one, 1.0), (other, 2.0)):
        folder.mkdir()
        linear(folder / "m.onnx", [[weight]], [0])
    copy = tmp_path / "renamed.onnx"
    copy.write_bytes((one / "m.onnx").read_bytes())
    card = OwnNetwork(one / "m.onnx").card
    again = OwnNetwork(copy).card
    assert (card.id, card.fingerprint) == (again.id, again.fingerprint)
    assert card.id != OwnNetwork(other / "m.onnx").card.id


def test_rows_go_together_only_where_the_bits_stay(tmp_path: Path) -> None:
    rows = numbers(40, 1)
    engine = OwnNetwork(thresholds(tmp_path / "t.onnx", [-1, 0, 1])).load()
    assert engine.rows_together(call(*rows)) == TOGETHER
    assert engine.rows_together(call(rows[0])) == 1, "one row proves nothing"
    session = OwnNetwork(wide(tmp_path)).load()._session
    many = numbers(40, 200)
    alone = OwnEngine(engine.card, session).run(call(*many))
    differs = OwnEngine(engine.card, session, TOGETHER).run(call(*many)).tobytes() != alone.tobytes()
    assert OwnEngine(engine.card, session).rows_together(call(*many)) == (1 if differs else TOGETHER)


@pytest.mark.parametrize("make", [wide, lambda folder: linear(folder / "f.onnx", RNG.normal(size=(200, 3)), [0, 0, 0], rows=1)])
def test_a_row_has_the_same_bits_alone_and_in_any_batch(make: Any, tmp_path: Path) -> None:
    engine, rows = OwnNetwork(make(tmp_path)).load(), numbers(21, 200)
    alone = [engine.run(call(row))[0].tobytes() for row in rows]
    assert [row.tobytes() for row in engine.run(call(*rows))] == alone


def test_a_machine_may_choose_its_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "quiet", lambda: True)
    monkeypatch.setattr(measuring, "LIMIT_SECONDS", 60.0)
    nodes = [
        H.make_node("LabelEncoder", ["words"], ["codes"], domain="ai.onnx.ml", keys_strings=["好"], values_int64s=[7], default_int64=0),
        H.make_node("Add", ["codes", "n"], ["y"]),
    ]
    inputs = [("words", TEXT, ["rows", 2]), ("n", INT, ["rows", 2])]
    for file in (save(tmp_path / "m.onnx", nodes, inputs, [("y", INT, ["rows", 2])], {}), wide(tmp_path)):
        engine = OwnNetwork(file).load()
        (asked,) = engine.examples()
        assert engine.run(asked).shape[0] == TOGETHER
        found = measuring.measure(engine)
        assert found is not None
        assert (set(found.row_ms), found.engine) == ({"1"}, engine.card.id)
        assert 1 <= found.rows <= TOGETHER


def test_threads_share_a_session(tmp_path: Path) -> None:
    engine, rows = OwnNetwork(wide(tmp_path)).load(), numbers(30, 200)
    want = [engine.run(call(row)).tobytes() for row in rows]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda row: engine.run(call(row)).tobytes(), rows * 5)) == want * 5


def test_text_and_whole_numbers(tmp_path: Path) -> None:
    nodes = [
        H.make_node("LabelEncoder", ["words"], ["codes"], domain="ai.onnx.ml", keys_strings=["好", "bad"], values_int64s=[7, 5], default_int64=0),
        H.make_node("Add", ["codes", "n"], ["y"]),
    ]
    inputs = [("words", TEXT, ["rows", 2]), ("n", INT, ["rows", 2])]
    engine = OwnNetwork(save(tmp_path / "m.onnx", nodes, inputs, [("y", INT, ["rows", 2])], {})).load()
    names = ("n", "words")
    assert engine.run(call((np.array([1.0, 2.0]), ("好", "bad")), names=names)).tolist() == [[8, 7]]
    with pytest.raises(DataError, match="missing number"):
        engine.run(call((np.array([1.0, np.nan]), ("好", "bad")), names=names))
    with pytest.raises(BundleError, match="doesn't fit"):
        engine.run(call((("1", "2"), ("好", "bad")), names=names))
    with pytest.raises(BundleError, match="doesn't fit"):
        engine.run(call((np.array([1.0, 2.0]), np.array([1.0, 2.0])), names=names))


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        (call((np.zeros(2),), names=("z",)), "columns don't fit"),
        (call((np.zeros(2), np.zeros(1)), names=("x", "z")), "columns don't fit"),
        (call((np.zeros(3),)), "another number of columns"),
        (call((np.zeros(2),), output="z"), "no such output"),
    ],
)
def test_what_does_not_fit_is_said(asked: Call, what: str, tmp_path: Path) -> None:
    engine = OwnNetwork(linear(tmp_path / "m.onnx", [[1, 2], [3, 4]], [0, 1])).load()
    with pytest.raises(BundleError, match=what):
        engine.run(asked)


def test_a_row_that_the_network_can_not_compute(tmp_path: Path) -> None:
    nodes = [H.make_node("Gather", ["table", "x"], ["y"])]
    inputs, outputs = [("x", INT, ["n", 1])], [("y", REAL, ["n", 1])]
    engine = OwnNetwork(save(tmp_path / "m.onnx", nodes, inputs, outputs, {"table": np.ones(3, np.float32)})).load()
    assert engine.run(call((np.array([2.0]),))).tolist() == [[1]]
    with pytest.raises(DataError, match="can't compute"):
        engine.run(call((np.array([7.0]),)))


def test_networks_that_rows_of_columns_do_not_fill(tmp_path: Path) -> None:
    eight = OwnNetwork(linear(tmp_path / "8.onnx", [[1]], [0], rows=8))
    with pytest.raises(BundleError, match="batches of one size"):
        eight.load()
    node = H.make_node("Identity", ["x"], ["y"])
    image = save(tmp_path / "i.onnx", [node], [("x", REAL, ["n", 3, 8, 8])], [("y", REAL, ["n", 3, 8, 8])], {})
    pictures = OwnNetwork(image).load()
    assert pictures.run(pictures.examples()[0]).shape == (TOGETHER, 3 * 8 * 8)
    with pytest.raises(BundleError, match="takes another shape"):
        pictures.run(call((np.zeros((3, 9, 8)),)))
    node = H.make_node("Identity", ["x"], ["y"])
    names = save(tmp_path / "n.onnx", [node], [("x", TEXT, ["n", 2, 2])], [("y", TEXT, ["n", 2, 2])], {})
    with pytest.raises(BundleError, match="takes no rows"):
        OwnNetwork(names).load()
    node = H.make_node("ReduceSum", ["x"], ["y"], keepdims=1)
    total = OwnNetwork(save(tmp_path / "t.onnx", [node], [("x", REAL, ["n", 1])], [("y", REAL, [1, 1])], {})).load()
    total.together = 2
    with pytest.raises(BundleError, match="one answer a row"):
        total.run(call((np.ones(1),), (np.ones(1),)))


def test_a_map_is_no_tensor(tmp_path: Path) -> None:
    nodes = [H.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["a", "b"])]
    zipped = H.make_sequence_type_proto(H.make_map_type_proto(TEXT, H.make_tensor_type_proto(REAL, [])))
    graph = H.make_graph(nodes, "g", [H.make_tensor_value_info("x", REAL, ["n", 2])], [H.make_value_info("y", zipped)])
    opsets = [H.make_opsetid("", 17), H.make_opsetid("ai.onnx.ml", 3)]
    (tmp_path / "m.onnx").write_bytes(H.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    with pytest.raises(BundleError, match="no tensor") as raised:
        OwnNetwork(tmp_path / "m.onnx").load().run(call((np.zeros(2),)))
    assert "zipmap" in raised.value.hint


def test_a_file_that_changed_is_not_loaded(tmp_path: Path) -> None:
    file = linear(tmp_path / "m.onnx", [[1]], [0])
    network = OwnNetwork(file)
    linear(file, [[2]], [0])
    with pytest.raises(BundleError, match="changed"):
        network.load()


def unpack(folder: Path, files: dict[str, bytes]) -> dict[str, str]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return {name: digest_file(folder / name) for name in files}


def test_a_network_goes_into_a_bundle_and_out_again(tmp_path: Path) -> None:
    network = OwnNetwork(thresholds(tmp_path / "t.onnx", [0]))
    files = packed(network, call(*numbers(10, 1)))
    assert set(files) == {f"own/net/{MODEL}", f"own/net/{RECORD}"}
    found = bundled(tmp_path / "b", unpack(tmp_path / "b", files))
    assert set(found) == {"net"}
    assert found["net"].card.id == network.card.id
    engine = found["net"].load()
    assert isinstance(engine, OwnEngine)
    assert engine.together == TOGETHER
    (tmp_path / "b" / "own" / "net" / RECORD).write_bytes(b"{}x")
    with pytest.raises(BundleError, match="record"):
        bundled(tmp_path / "b", dict.fromkeys(files, "0"))


@pytest.mark.parametrize("other", [{"runtime": "0.1"}, {"processor": "another"}])
def test_what_was_measured_elsewhere_is_not_believed(other: dict[str, str], tmp_path: Path) -> None:
    files = packed(OwnNetwork(thresholds(tmp_path / "t.onnx", [0])), call(*numbers(10, 1)))
    measured = msgspec.json.decode(files[f"own/net/{RECORD}"], type=Measured)
    assert measured.here() == TOGETHER
    assert msgspec.structs.replace(measured, **other).here() == 1


def test_external_data_travels_with_it(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(linear(tmp_path / "m.onnx", np.ones((300, 2)), [0, 0], "Identity"))
    place = tmp_path / "big"
    place.mkdir()
    onnx.save(model, str(place / "m.onnx"), save_as_external_data=True, location="m.data", size_threshold=16)
    network = OwnNetwork(place / "m.onnx")
    assert network.size_bytes == sum(file.stat().st_size for file in place.iterdir())
    files = packed(network, call(*numbers(3, 300)))
    assert "own/net/m.data" in files
    digests = unpack(tmp_path / "b", files)
    (found,) = bundled(tmp_path / "b", digests).values()
    assert found.load().run(call((np.ones(300),))).tolist() == [[300, 300]]
    (tmp_path / "b" / "own" / "net" / "m.data").write_bytes(b"\0" * 2400)
    with pytest.raises(BundleError, match="changed"):
        found.load()

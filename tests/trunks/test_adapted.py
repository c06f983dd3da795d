"""A trunk that a product adapted: what is stored, what it gives, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.berts import bert_folder

from trunkline.engines.settings import measured_card
from trunkline.errors import BundleError
from trunkline.files import digest_file
from trunkline.trunks import find
from trunkline.trunks.adapted import RECORD, SCALE, WEIGHTS, Adapted, adapted, changed, widened
from trunkline.trunks.bert import BertParts
from trunkline.trunks.bert_graph import linears
from trunkline.trunks.owned import bundled, packed
from trunkline.types import Call, Engine

TEXTS = ["hello world", "a room", "the hotel is close to the station, but rooms are loud at night " * 2, "房间很干净", "hello"]


def lora(parts: BertParts, rank: int, spread: float = 0.3) -> dict[str, NDArray[Any]]:
    """Factors of random numbers; spread 0: they change nothing."""
    rng, made = np.random.default_rng(rank), {}
    for name in linears(parts.shape):
        outputs, inputs = parts.weight(f"{name}.weight").shape
        made[f"{name}.A"] = rng.normal(0, inputs**-0.5, (rank, inputs))
        made[f"{name}.B"] = rng.normal(0, spread * rank**-0.5, (outputs, rank))
    return made


def vectors(engine: Engine, texts: list[str] = TEXTS) -> NDArray[np.float32]:
    return np.asarray(engine.run(Call("x", texts)))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"folder:{bert_folder(tmp_path_factory.mktemp('bert'))}"


def parts_of(name: str) -> BertParts:
    trunk: Any = find(name)
    parts: BertParts = trunk.parts()
    return parts


def test_an_adapter_is_added_to_the_trunk_s_layers(base: str, tmp_path: Path) -> None:
    """W x + B A x is what a trunk with the weights W + B A gives."""
    parts = parts_of(base)
    factors = {name: array.astype(np.float16).astype(np.float64) for name, array in lora(parts, 3).items()}
    found = vectors(adapted(base, "lora", factors, tmp_path).load())
    whole = {f"{name}.weight": parts.weight(f"{name}.weight") + factors[f"{name}.B"] @ factors[f"{name}.A"] for name in linears(parts.shape)}
    wanted = vectors(adapted(base, "full", whole, tmp_path).load())
    assert np.abs(found - wanted).max() < 2e-3
    assert np.abs(found - vectors(find(base).load())).max() > 0.05


@pytest.mark.parametrize("rank", [1, 16])
def test_an_adapter_that_changes_nothing_gives_the_trunk_s_bits(base: str, rank: int, tmp_path: Path) -> None:
    engine = adapted(base, "lora", lora(parts_of(base), rank, 0), tmp_path).load()
    assert vectors(engine).tobytes() == vectors(find(base).load()).tobytes()


def test_adapters_of_any_rank_share_graph_words_and_tokenizer(base: str, tmp_path: Path) -> None:
    parts = parts_of(base)
    one, other = (adapted(base, "lora", lora(parts, rank), tmp_path).load() for rank in (2, 8))
    engines: list[Any] = [one, other, adapted(base, "full", {}, tmp_path).load(), find(base).load()]
    assert engines[0]._encoder._session is engines[1]._encoder._session
    assert len({id(engine._encoder._front) for engine in engines}) == len({id(engine._tokenizer) for engine in engines}) == 1


def test_one_measurement_is_good_for_all_of_a_rank(base: str, tmp_path: Path) -> None:
    parts = parts_of(base)
    one, alike = (adapted(base, "lora", lora(parts, 2, spread), tmp_path).load() for spread in (0.3, 0.4))
    other, full = adapted(base, "lora", lora(parts, 3), tmp_path).load(), adapted(base, "full", {}, tmp_path).load()
    assert one.card != alike.card
    assert measured_card(one) == measured_card(alike) != measured_card(other)
    assert measured_card(full) == measured_card(find(base).load())  # type: ignore[arg-type]


def test_only_what_changed_is_stored(base: str, tmp_path: Path) -> None:
    parts = parts_of(base)
    names = ["encoder.layer.0.output.dense.weight", "encoder.layer.0.output.LayerNorm.bias"]
    moved = {name: np.asarray(parts.weight(name)) + 0.25 for name in names}
    same = {"encoder.layer.0.intermediate.dense.bias": np.asarray(parts.weight("encoder.layer.0.intermediate.dense.bias"))}
    stored = changed(parts, {**moved, **same})
    assert {name: array.dtype for name, array in stored.items()} == {names[0]: np.float16, names[1]: np.float32}
    own = adapted(base, "full", {**moved, **same}, tmp_path)
    assert own.size_bytes < 2_000
    assert own.card.id == adapted(base, "full", moved, tmp_path / "again").card.id != find(base).card.id


def test_int8_is_stored_as_the_graph_has_it() -> None:
    parts = parts_of("e5-small")
    name = "encoder.layer.3.intermediate.dense.weight"
    stored = changed(parts, {name: np.asarray(parts.weight(name)) * 1.5})
    assert (stored[name].dtype.name, stored[name + SCALE].shape) == ("int8", (1536, 1))
    again = changed(parts, widened(stored))
    assert (again[name] == stored[name]).all()


def test_it_goes_into_a_bundle_and_out_again(base: str, tmp_path: Path) -> None:
    own = adapted(base, "lora", lora(parts_of(base), 2), tmp_path)
    files = packed(own, Call("own:net", TEXTS))
    assert set(files) == {f"own/net/{RECORD}", f"own/net/{WEIGHTS}"}
    digests = _unpacked(tmp_path / "b", files)
    found = bundled(tmp_path / "b", digests)["net"]
    assert found.card == own.card
    assert vectors(found.load()).tobytes() == vectors(own.load()).tobytes()
    (tmp_path / "b" / "own" / "net" / WEIGHTS).write_bytes(b"\0")
    with pytest.raises(BundleError, match="changed"):
        found.load()
    (tmp_path / "b" / "own" / "net" / RECORD).write_bytes(b"{")
    with pytest.raises(BundleError, match="record"):
        bundled(tmp_path / "b", digests)


def _unpacked(folder: Path, files: dict[str, bytes]) -> dict[str, str]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return {name: digest_file(folder / name) for name in files}


def test_another_trunk_than_it_was_adapted_from_is_refused(base: str, tmp_path: Path) -> None:
    own = adapted(base, "lora", lora(parts_of(base), 2), tmp_path)
    other = Adapted(msgspec.structs.replace(own.about, fingerprint="0" * 32), own.weights)
    with pytest.raises(BundleError, match="adapted from another"):
        other.load()


def _without_one(made: dict[str, Any]) -> dict[str, Any]:
    return dict(list(made.items())[1:])


def _of_two_ranks(made: dict[str, Any]) -> dict[str, Any]:
    name, first = next(iter(made.items()))
    return {**made, name: first[:1]}


def _misshapen(made: dict[str, Any]) -> dict[str, Any]:
    return {name: array[:, :-1] if name.endswith(".A") else array for name, array in made.items()}


@pytest.mark.parametrize("broken", [_without_one, _of_two_ranks, _misshapen])
def test_weights_that_do_not_fit_are_refused(base: str, broken: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="don't fit"):
        adapted(base, "lora", broken(lora(parts_of(base), 2)), tmp_path).load()


def test_a_full_set_of_another_shape_is_refused(base: str, tmp_path: Path) -> None:
    good = adapted(base, "full", {}, tmp_path)
    from safetensors.numpy import save_file

    for name, array in (("encoder.layer.0.output.dense.weight", np.zeros((2, 2))), ("encoder.layer.9.output.dense.bias", np.zeros(16))):
        save_file({name: array.astype(np.float32)}, tmp_path / "odd.safetensors")
        with pytest.raises(BundleError, match="don't fit"):
            Adapted(good.about, tmp_path / "odd.safetensors").load()


@pytest.mark.parametrize("rank", [4, 16])
def test_rows_of_an_adapter_are_the_same_alone_and_in_any_batch(rank: int, tmp_path: Path) -> None:
    """On the real trunk: the matrices' kernels depend on the shapes."""
    if find("e5-small").available() is not None:
        pytest.skip("e5-small is not on this machine")
    engine = adapted("e5-small", "lora", lora(parts_of("e5-small"), rank, 0.05), tmp_path).load()
    words = ["the", "room", "card", "房间", "很", "干净", "refund", "of", "my", "payment"]
    texts = [" ".join(words[(at + i) % len(words)] for i in range(n)) for at, n in enumerate((1, 2, 2, 6, 6, 7, 8, 8, 9, 11, 11, 40, 41, 90))]
    alone = np.concatenate([vectors(engine, [text]) for text in texts])
    for order in (texts, texts[::-1]):
        found = vectors(engine, order)
        assert (found if order is texts else found[::-1]).tobytes() == alone.tobytes()
    for text, tokens in zip(texts, engine.run(Call("x", texts, "tokens")), strict=True):
        assert np.array_equal(engine.run(Call("x", [text], "tokens"))[0].vectors, tokens.vectors)

"""What can be searched, and what can't be, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.methods.texts import examples, spec_of

from trunkline.errors import SpecError, TrunklineError
from trunkline.methods import METHODS
from trunkline.methods.settings import named
from trunkline.methods.tunable import Tunable
from trunkline.proof.tuned import Choice
from trunkline.spec import Range, Spec, load_spec, parse_spec
from trunkline.tuning.space import Space, applied, searched, space_of
from trunkline.tuning.write import write_choice

TEXT = {"text": "text"}
TUNABLE = [name for name in METHODS.names() if isinstance(METHODS.get(name)(), Tunable)]


def text_spec(**tune: Any) -> Spec:
    return spec_of("classify", TEXT, tune=tune)


def test_the_methods_that_learn_settings_have_ranges() -> None:
    wanted = {"linear", "ngrams", "fused", "boosting", "mlp", "lstm", "cnn1d", "transformer", "finetune", "lora", "cnn"}
    assert wanted <= set(TUNABLE)


@pytest.mark.parametrize("task", ["classify", "regress"])
@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize("method", TUNABLE)
def test_the_ends_of_a_method_s_own_ranges_are_settings_it_takes(method: str, kind: str, task: str) -> None:
    found = searched(spec_of(task, {"x": kind}), method)
    assert found is not None
    assert found.ranges
    for name, wanted in found.ranges.items():
        ends = [wanted.low, wanted.high] if isinstance(wanted, Range) else wanted
        for value in ends:
            made = msgspec.convert({name: value}, found.settings)
            assert getattr(made, name) == value


def test_without_a_word_the_ladder_and_mlp_are_searched() -> None:
    space = space_of(text_spec(), examples())
    assert set(space.methods) == {"ngrams", "linear", "fused", "mlp"}
    assert space.every(1000) is None


def test_a_named_method_is_searched_alone_and_its_settings_stay() -> None:
    spec = spec_of("classify", TEXT, method={"name": "mlp", "settings": {"hidden": 7}})
    space = space_of(spec, examples())
    assert (space.methods, list(space.ranges["mlp"])) == (("mlp",), ["decay"])
    assert space.choice({"mlp.decay": 0.123456}) == Choice("mlp", {"hidden": 7, "decay": 0.123})


def test_a_range_between_whole_numbers_is_of_what_the_setting_takes() -> None:
    space = space_of(text_spec(ranges={"mlp": {"hidden": {"low": 1, "high": 9}, "decay": {"low": 0, "high": 2}}}), examples())
    assert space.choice({"mlp.hidden": 3, "mlp.decay": 0.25}).settings == {"hidden": 3, "decay": 0.25}
    assert [type(space.distribution(f"mlp.{name}")).__name__ for name in ("hidden", "decay")] == ["IntDistribution", "FloatDistribution"]


def test_a_small_space_is_all_its_points() -> None:
    spec = text_spec(ranges={"knn": {"neighbours": {"low": 1, "high": 3}}, "mlp": {"hidden": [8, 16]}}, trunks={"text": ["hash", "e5-small"]})
    space = space_of(spec, examples())
    points = space.every(10)
    assert points is not None
    choices = [space.choice(point) for point in points]
    assert len(choices) == 10
    assert Choice("knn", {"neighbours": 2}, {"text": "e5-small"}) in choices
    assert applied(spec, choices[0]).trunks == {"text": choices[0].trunks["text"]}
    assert space.every(9) is None


@given(low=st.floats(1e-9, 1e6), times=st.floats(1.001, 1e6), at=st.floats(0, 1), log=st.booleans())
def test_a_number_is_told_in_three_digits_and_within_its_range(low: float, times: float, at: float, log: bool) -> None:
    high = low * times
    space = Space(("m",), {"m": {"x": Range(low, high, log)}}, {}, {"m": {}})
    value = space.choice({"m.x": min(high, low + at * (high - low))}).settings["x"]
    assert low <= value <= high
    assert value in (low, high) or float(f"{value:.3g}") == value


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ({"mlp": {"hidden": {"low": 64, "high": 32}}}, ("tune.ranges.mlp.hidden", "low = 64, high = 32", "low below high")),
        ({"mlp": {"decay": {"low": 0, "high": 1, "log": True}}}, ("tune.ranges.mlp.decay", "low = 0", "low above 0")),
        ({"mlp": {"decay": {"low": float("nan"), "high": 1}}}, ("tune.ranges.mlp.decay", "nan", "both numbers")),
        ({"mlp": {"decay": {"low": 0.1}}}, ("tune.ranges.mlp.decay", "low = 0.1", "both numbers")),
        ({"mlp": {"decay": {"low": 0.1, "hihg": 1}}}, ("tune.ranges.mlp.decay", "'hihg'", "did you mean 'high'")),
        ({"mlp": {"hidden": []}}, ("tune.ranges.mlp.hidden", "[]", "at least one choice")),
        ({"mlp": {"hidden": [8, 8]}}, ("tune.ranges.mlp.hidden", "[8, 8]", "none twice")),
        ({"mlp": {"hidden": [[8]]}}, ("tune.ranges.mlp.hidden", "[8]", "texts, numbers")),
        ({"mlp": {"hidden": 8}}, ("tune.ranges.mlp.hidden", "8", "[method.settings]")),
        ({"mlp": [8]}, ("tune.ranges.mlp", "[8]", "settings of mlp")),
        ({"mlp": {"low": 1, "high": 2}}, ("tune.ranges.mlp", "low = 1", "ranges.<method>.<setting>")),
        ({"mpl": {"hidden": [8, 16]}}, ("tune.ranges", "'mpl'", "did you mean 'mlp'")),
        ({"mlp": {"hiden": [8, 16]}}, ("tune.ranges.mlp.hiden", "'hiden'", "did you mean 'hidden'")),
        ({"mlp": {"hidden": [8, 0]}}, ("tune.ranges.mlp.hidden", "hidden = 0", ">= 1")),
        ({"mlp": {"hidden": {"low": 8.0, "high": 16.5}}}, ("tune.ranges.mlp.hidden", "hidden = 8.0", "whole number")),
        ({"mlp": {"hidden": {"low": 1, "high": 10**23}}}, ("tune.ranges.mlp.hidden", "low = 1", "whole numbers up to")),
        ({"lstm": {"cell": ["lstm", "rnn"]}}, ("tune.ranges.lstm.cell", "cell = 'rnn'", "lstm | gru")),
        ({"lstm": {"size": ["small", "tiny"]}}, ("tune.ranges.lstm.size", "size = 'tiny'", "small | base", "product.toml")),
        ({"boosting": {"num_leaves": [4, 8]}}, ("boosting can't learn this product", "needs a number", "name other methods")),
    ],
)
def test_a_range_that_can_not_be_searched_is_one_clear_error(ranges: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        space_of(text_spec(ranges=ranges), examples())
    said = str(caught.value)
    assert all(word in said for word in words), said
    assert len(said.splitlines()) <= 4


def test_a_space_of_more_points_than_memory_holds_is_not_gone_through() -> None:
    assert Space(("m",), {"m": {"x": Range(1, 2**40)}}, {}, {"m": {}}).every(30) is None


def test_nothing_to_search_is_said() -> None:
    with pytest.raises(SpecError, match="nothing to search"):
        space_of(spec_of("classify", TEXT, method={"name": "majority"}), examples())


def test_a_trunk_of_another_kind_is_refused() -> None:
    with pytest.raises(SpecError, match="another kind"):
        space_of(text_spec(trunks={"text": ["efficientnet-lite0"]}), examples())
    with pytest.raises(TrunklineError, match="'e5-smal'") as unknown:
        space_of(text_spec(trunks={"text": ["e5-smal"]}), examples())
    assert unknown.value.where == "key 'tune.trunks.text'"


# ---- written back -------------------------------------------------------------------------------

HEAD = 'name = "p"  # ours\ntask = "classify"\nlabel = "l"\n\n[inputs]  # what goes in\ntext = "text"\n'


@pytest.mark.parametrize(
    ("rest", "stays"),
    [
        ("", ""),
        ('\n[method]\nname = "auto"  # for now\nadapt = true\nfolds = 4  # few rows\n', "folds = 4  # few rows"),
        ('\n[method]\nname = "mlp"\nsettings = { hidden = 8, decay = 0.5 }\n', ""),
        ('\n[method]\nname = "mlp"\n\n[method.settings]\n# as wide as the budget allows\nhidden = 16 # wide\n', "# as wide as the budget allows"),
        ('\n[trunks]\ntext = "hash" # small\n\n[gate]\nrules = ["accuracy.low > 0.5"] # stays\n', "# stays"),
    ],
)
def test_settings_are_written_back_and_comments_stay(tmp_path: Path, rest: str, stays: str) -> None:
    file = tmp_path / "product.toml"
    file.write_text(HEAD + rest, "utf-8")
    choice = Choice("mlp", {"hidden": 16, "decay": 0.0123}, {"text": "minilm"})
    write_choice(file, choice)
    text = file.read_text("utf-8")
    import tomllib

    spec = parse_spec(tomllib.loads(text))
    assert (spec.method.name, spec.method.settings, spec.trunks) == ("mlp", {"hidden": 16, "decay": 0.0123}, {"text": "minilm"})
    assert text.startswith(HEAD.split("\n", 1)[0])
    assert "[inputs]  # what goes in" in text
    assert stays in text
    before = text
    write_choice(file, choice)
    assert file.read_text("utf-8") == before


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_ends_of_lines_mode_and_link_stay(tmp_path: Path, mark: str) -> None:
    file, link = tmp_path / "kept.toml", tmp_path / "product.toml"
    file.write_bytes((mark + HEAD + '[method]\nname = "mlp"\n').replace("\n", "\r\n").encode())
    file.chmod(0o640)
    link.symlink_to(file)
    write_choice(link, Choice("mlp", {"hidden": 16}))
    written = file.read_bytes().decode()
    assert written.startswith(mark + "name")
    assert written.count("\r\n") == written.count("\n") > HEAD.count("\n")
    assert load_spec(link).method.settings == {"hidden": 16}
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_file_that_broke_during_the_search_is_told(tmp_path: Path) -> None:
    file = tmp_path / "product.toml"
    file.write_text(HEAD + "[method\n", "utf-8")
    with pytest.raises(SpecError, match="not valid TOML"):
        write_choice(file, Choice("ngrams"))


def test_a_choice_without_settings_takes_the_old_ones_away(tmp_path: Path) -> None:
    file = tmp_path / "product.toml"
    file.write_text(HEAD + '[method]\nname = "mlp"\nsettings = { hidden = 8 }\n', "utf-8")
    write_choice(file, Choice("ngrams"))
    import tomllib

    assert parse_spec(tomllib.loads(file.read_text("utf-8"))).method == named(parse_spec(tomllib.loads(HEAD)), "ngrams").method



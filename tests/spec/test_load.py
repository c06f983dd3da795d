import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import SpecError
from trunkline.spec import Spec, dump_spec, load_spec, parse_spec
from trunkline.spec.model import trunk_of

SMALL: dict[str, Any] = {
    "name": "support",
    "task": "classify",
    "label": "category",
    "inputs": {"text": "text"},
}


def test_a_whole_product_is_four_keys() -> None:
    spec = parse_spec(SMALL)
    assert spec.data.train == "train.csv"
    assert spec.gate.rules == ["gain.majority.low > 0"]
    assert trunk_of(spec, "text") == "e5-small"
    assert trunk_of(spec, "number") is None


def test_the_filled_in_spec_reads_back_as_itself() -> None:
    spec = parse_spec(SMALL)
    assert parse_spec(dump_spec(spec)) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lable": "x"}, "did you mean 'label'"),
        ({"data": {"trian": "x.csv"}}, "unknown key 'data.trian'"),
        ({"task": "classfy"}, "did you mean 'classify'"),
        ({"inputs": {"text": "txt"}}, "did you mean 'text'"),
        ({"inputs": {}}, "key 'inputs' has a wrong value"),
        ({"inputs": {"category": "text"}}, "also an input"),
        ({"method": {"name": "linaer"}}, "did you mean 'linear'"),
        ({"gate": {"rules": 3}}, "key 'gate.rules' has a wrong value"),
        ({"name": "Has Space"}, "key 'name' has a wrong value"),
        ({"data": {"test_share": 1.5}}, "key 'data.test_share' has a wrong value"),
        ({"seed": -1}, "key 'seed' has a wrong value"),
        ({"trunks": {"txt": "e5-small"}}, "did you mean 'text'"),
        ({"method": {"settings": {"foo": 1}}}, "settings are those of a named method"),
        ({"serve": {"thresholds": {"a": 0.5}}}, "for multilabel"),
        ({"serve": {"abstain_precision": 0.9, "abstain_below": 0.5}}, "exclude each other"),
        ({"proof": {"costs": {"a": {"b": -3.0}}}}, "key 'proof.costs.a.b' has a wrong value"),
        ({"proof": {"costs": {"a": {"b": float("nan")}}}}, "key 'proof.costs.a.b' has a wrong value"),
        ({"name": "中文名"}, "small letters a-z"),
    ],
)
def test_mistakes_name_key_and_remedy(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec({**SMALL, **change})
    assert message in str(caught.value)


@pytest.mark.parametrize("missing", ["name", "task", "label", "inputs"])
def test_missing_keys_are_named(missing: str) -> None:
    with pytest.raises(SpecError, match=f"key '{missing}' is missing"):
        parse_spec({k: v for k, v in SMALL.items() if k != missing})


@pytest.mark.parametrize("path", ["../x.csv", "/etc/passwd", "a/../../x.csv", "C:\\x.csv", "..\\x.csv", "a\0b"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_paths_stay_below_the_product(path: str, part: str) -> None:
    with pytest.raises(SpecError, match="leaves the product's folder"):
        parse_spec({**SMALL, "data": {part: path}})


def test_a_query_names_its_connection() -> None:
    spec = parse_spec({**SMALL, "data": {"train": {"connection": "shop", "query": "select 1"}}})
    assert not isinstance(spec.data.train, str)
    assert spec.data.train.connection == "shop"


def test_files(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no product here"):
        load_spec(tmp_path)
    file = tmp_path / "product.toml"
    file.write_text("name = ")
    with pytest.raises(SpecError, match="not valid TOML"):
        load_spec(tmp_path)
    file.write_bytes("name = '中'".encode("gbk"))
    with pytest.raises(SpecError, match="not UTF-8"):
        load_spec(tmp_path)
    file.write_text('name = "a"\n[inputs]\n评论 = "text"\n', "utf-8")
    with pytest.raises(SpecError, match="put quotes"):
        load_spec(tmp_path)
    file.write_text('\ufeffname = "a"\ntask = "classify"\nlabel = "y"\n[inputs]\n"评论" = "text"\n', "utf-8")
    assert load_spec(tmp_path).inputs == {"评论": "text"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*Spec.__struct_fields__, "x"]), inner, max_size=4),
        max_leaves=10,
    ).filter(lambda v: isinstance(v, dict))
)
def test_anything_else_is_a_spec_error(raw: dict[str, Any]) -> None:
    try:
        name = msgspec.to_builtins(parse_spec(raw))["name"]
    except SpecError as error:
        name = raw.get("name") if error.where == "product.toml" else error
    assert name == raw.get("name")


def test_the_readme_example_is_valid() -> None:
    text = """
name  = "support"
task  = "classify"
label = "category"
[inputs]
text = "text"
[data]
train = "train.csv"
test  = "test.csv"
[gate]
rules = ["accuracy.low >= 0.85", "latency_p95_ms <= 50"]
"""
    assert parse_spec(tomllib.loads(text)).gate.rules[1] == "latency_p95_ms <= 50"


def test_adapt_is_for_auto_only() -> None:
    keys = {"name": "x", "task": "classify", "label": "y", "inputs": {"a": "text"}}
    assert parse_spec({**keys, "method": {"adapt": True}}).method.adapt
    with pytest.raises(SpecError, match="adapt is for"):
        parse_spec({**keys, "method": {"name": "linear", "adapt": True}})

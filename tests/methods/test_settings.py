"""[method.settings]: what is wrong is told in the words of product.toml, and before any row is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.methods.tables import spec_of

from trunkline.errors import SpecError
from trunkline.methods import METHODS
from trunkline.methods.settings import Checks, check_settings
from trunkline.product import Product

TEXT = {"t": "text"}


@pytest.mark.parametrize(
    ("method", "settings", "key", "found", "wanted", "hint"),
    [
        ("lstm", {"size": "smal"}, "size", "'smal'", "small | base", "did you mean 'small'?"),
        ("lstm", {"cell": "GRU"}, "cell", "'GRU'", "lstm | gru", "did you mean 'gru'?"),
        ("lstm", {"epochs": 1.5}, "epochs", "1.5", "whole number (>= 1)", "leave it out for 10"),
        ("lstm", {"vectors": "yes"}, "vectors", "'yes'", "true or false", "leave it out for false"),
        ("lora", {"rank": "4"}, "rank", "'4'", "whole number (>= 1, <= 256)", "leave it out for 16"),
        ("finetune", {"rate": float("inf")}, "rate", "inf", "a number", ""),
        ("contrastive", {"batch": 1}, "batch", "1", "whole number (>= 4)", "leave it out for 64"),
        ("linear", {"penalty": "x"}, "penalty", "'x'", "number (> 0)", ""),
        ("onnx", {"inputs": {"a": {"columns": []}}}, "inputs.a.columns", "[]", "list of text (not empty)", ""),
    ],
)
def test_a_wrong_value_names_key_choices_and_remedy(method: str, settings: dict[str, Any], key: str, found: str, wanted: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_settings(spec_of("classify", TEXT, name=method, settings=settings))
    error = caught.value
    assert error.what == f"key 'method.settings.{key}' has a wrong value"
    assert (error.found, error.wanted, error.hint) == (found, wanted, hint)


def test_a_setting_within_a_table_that_isnt_known_has_the_nearest() -> None:
    with pytest.raises(SpecError, match="colums") as caught:
        check_settings(spec_of("classify", TEXT, name="onnx", settings={"inputs": {"a": {"colums": ["x"]}}}))
    assert caught.value.hint == "did you mean 'columns'?"


@pytest.mark.parametrize(("task", "loss"), [("classify", "mse"), ("regress", "focal"), ("tag", "binary"), ("multilabel", "cross_entropy")])
def test_a_loss_that_cant_learn_the_task(task: str, loss: str) -> None:
    with pytest.raises(SpecError, match=f"can't learn {task}") as caught:
        check_settings(spec_of(task, TEXT, name="finetune", settings={"loss": loss}))
    assert caught.value.found == repr(loss)
    assert caught.value.wanted.startswith("auto | ")


@pytest.mark.parametrize("name", [name for name in METHODS.names() if METHODS.get(name).__module__.startswith("trunkline.")])
def test_every_method_refuses_a_setting_it_doesnt_know(name: str) -> None:
    assert isinstance(METHODS.get(name)(), Checks)
    with pytest.raises(SpecError, match="no setting 'speed'"):
        check_settings(spec_of("classify", TEXT, name=name, settings={"speed": 1}))
    check_settings(spec_of("classify", TEXT, name=name))


def test_pictures_have_settings_of_their_own() -> None:
    check_settings(spec_of("classify", {"p": "image"}, name="finetune", settings={"side": 64}))
    with pytest.raises(SpecError, match="no setting 'side'"):
        check_settings(spec_of("classify", TEXT, name="finetune", settings={"side": 64}))


def test_a_start_that_was_moved_away_is_missed_before_pictures_are_read(tmp_path: Path) -> None:
    settings = {"start": str(tmp_path / "away")}
    with pytest.raises(SpecError, match="no start is here") as caught:
        check_settings(spec_of("classify", {"p": "image"}, name="cnn", settings=settings))
    assert (caught.value.found, caught.value.hint) == (str(tmp_path / "away"), "trunkline pretrain")
    with pytest.raises(SpecError, match="only pictures have a start"):
        check_settings(spec_of("classify", {"s": "audio"}, name="cnn", settings=settings))


def test_settings_are_judged_before_rows_are_read(tmp_path: Path) -> None:
    """There are no rows at all: only the settings can be complained about."""
    (tmp_path / "product.toml").write_text(
        'name = "x"\ntask = "classify"\nlabel = "y"\ninputs = { t = "text" }\n[method]\nname = "lstm"\nsettings = { size = "large" }\n'
    )
    for step in (Product(tmp_path).validate, Product(tmp_path).train):
        with pytest.raises(SpecError, match=r"method\.settings\.size"):
            step()

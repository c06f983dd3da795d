"""A product made smaller: from its bundle to another on the shelf."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from tests.berts import bert_folder
from tests.methods.texts import examples, spec_of
from tests.networks import linear
from tests.products import text_product, texts, write_rows

from trunkline.cli import main
from trunkline.engines.own import OwnNetwork
from trunkline.errors import DataError, TrainError
from trunkline.product import Product
from trunkline.shrink import measure, run
from trunkline.shrink.forms import Made
from trunkline.shrink.job import calibrating
from trunkline.shrink.measure import Costs, Loss, costs, loss
from trunkline.shrink.run import Tried
from trunkline.tasks import TASKS
from trunkline.types import Estimate, Prediction

CNN = '[method]\nname = "cnn1d"\n[method.settings]\nepochs = 4\nfolds = 2\nrate = 0.01\n'


def sure(value: float) -> Estimate:
    return Estimate(value, value, value, 10)


def spent(times: float) -> Costs:
    return Costs(sure(times), sure(1.0), sure(times))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measure, "CALLS", 6)


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every form is: what a busy machine measures decides no test."""
    monkeypatch.setattr(run, "_costs", lambda job, stand: spent(2.0))


def made(folder: Path) -> Product:
    product = text_product(folder, spec=CNN)
    product.train()
    return product


def test_too_few_rows_are_told_before_any_form_is_tried(tmp_path: Path) -> None:
    product = text_product(tmp_path / "p", rows=40, spec=CNN)
    product.train()
    done = CliRunner().invoke(main, ["shrink", str(product.folder)])
    assert done.exit_code == 2
    assert "too few rows to compare forms by" in done.stderr
    assert "int8" not in done.stderr


def test_a_product_is_made_smaller_and_another_bundle_lies_on_the_shelf(tmp_path: Path, faster: None) -> None:
    product = made(tmp_path / "p")
    runner = CliRunner()
    done = runner.invoke(main, ["shrink", str(product.folder), "--loss", "5", "--only", "bf16", "--only", "int8", "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert (found["version"], found["chosen"], found["bundle"]) == ("v1", "int8", "v2")
    bf16, int8 = found["tried"][:2]
    assert "no bfloat16" in bf16["why"]
    assert int8["bytes"] < 0.62 * found["bytes"]
    assert int8["points_lost"]["n"] == found["rows"] > 10
    assert found["test"]["points_lost"]["n"] == 60
    before, after = (product.shelf.open(version) for version in ("v1", "v2"))
    assert product.shelf.live() is None, "nothing goes live by itself"
    assert after.size_bytes < before.size_bytes
    assert [rung["method"] for rung in after.report["rungs"][:3]] == ["cnn1d v1", "bf16", "int8"]
    assert after.report["rungs"][2]["kept"]
    rows = [{"text": text} for text, _ in texts(9, seed=2)]
    answers = list(product.predict(rows, "v2"))
    assert [answer["label"] for answer in answers] == [answer["label"] for answer in product.predict(rows, "v1")]
    assert [answer["scores"] for row in rows for answer in product.predict([row], "v2")] == [answer["scores"] for answer in answers]

    again = runner.invoke(main, ["shrink", str(product.folder), "--only", "int8", "--loss", "5"])  # of v2
    assert again.exit_code == 3, again.output
    assert "int8 already" in again.stdout
    assert "nothing was put on the shelf" in again.stdout


def test_a_form_whose_gate_fails_is_not_to_be_deployed(tmp_path: Path, faster: None) -> None:
    product = text_product(tmp_path / "p", spec=CNN, gate="accuracy.low >= 0.9999")
    product.train()
    write_rows(tmp_path / "blank.csv", ["text"], [(" ",), ("",)])
    words = ["shrink", str(product.folder), "--loss", "5", "--only", "int8", "--only", "int8"]
    blank = CliRunner().invoke(main, [*words, "--rows", str(tmp_path / "blank.csv")])
    assert blank.exit_code == 2
    assert "none of these rows can be read" in blank.stderr
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 3, done.output
    assert "v2 is on the shelf; its gate failed" in done.stdout
    assert "trunkline deploy" not in done.stdout
    assert done.stderr.count("int8: loses") == 1


def test_what_loses_too_much_stays_off_the_shelf(tmp_path: Path, faster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    product = made(tmp_path / "p")
    lost = run._loss

    def worse(job: Any, stand: Any, rows: Any, before: Any = None) -> Loss:
        found = lost(job, stand, rows, before)
        return found if before is None else Loss(found.before, found.after, sure(7.0))  # only by the test rows

    monkeypatch.setattr(run, "_loss", worse)
    found = product.shrink(loss=5, only=["int8"])
    assert (found.chosen, found.bundle) == ("int8", None)
    assert product.shelf.versions() == ["v1"]


def test_other_rows_than_it_was_trained_on_are_refused(tmp_path: Path) -> None:
    product = made(tmp_path / "p")
    write_rows(product.folder / "train.csv", ["text", "label"], texts(151, seed=5))
    with pytest.raises(DataError, match="not the rows"):
        product.shrink()


def test_a_calibration_of_one_class_is_refused(tmp_path: Path) -> None:
    product = made(tmp_path / "p")
    one = [row for row in texts(30, seed=3) if row[1] == "refund"]
    write_rows(tmp_path / "one.csv", ["text", "label"], one)
    done = CliRunner().invoke(main, ["shrink", str(product.folder), "--calibration", str(tmp_path / "one.csv")])
    assert done.exit_code == 2
    assert "the calibration rows are all of one class" in done.stderr
    assert "10 rows of 'refund'" in done.stderr
    assert product.shelf.versions() == ["v1"]


def test_calibration_rows_are_of_every_class() -> None:
    known = examples(n=600)
    at = np.flatnonzero((known.target < 2) | (np.arange(600) < 9))
    rare = known.take(at)
    assert set(calibrating(rare, "classify", 0).target.tolist()) == {0, 1, 2}
    assert len(calibrating(rare, "classify", 0)) == 256
    assert len(calibrating(examples("regress"), "regress", 0)) == 90


def test_a_form_that_can_not_be_made_keeps_no_other_from_being_tried(tmp_path: Path, faster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    product = made(tmp_path / "p")

    def broken(job: Any) -> Any:
        raise TrainError("the network has an operator that can't be converted", found="com.microsoft:Odd")

    def unreadable(job: Any) -> Any:
        (tmp_path / "odd.onnx").write_bytes(linear(tmp_path / "m.onnx", np.ones((3, 2)), [0, 0]).read_bytes())
        return Made(replace(job.whole, networks={"own:net": OwnNetwork(tmp_path / "odd.onnx")}))

    monkeypatch.setitem(run.FORMS, "bf16", broken)
    monkeypatch.setitem(run.FORMS, "head", unreadable)
    found = product.shrink(loss=5, only=["bf16", "head", "int8"])
    assert "com.microsoft:Odd" in found.tried[0].why
    assert "don't fit" in found.tried[1].why
    assert found.chosen == "int8"


def test_a_head_on_a_shared_trunk_has_nothing_to_quantise(tmp_path: Path) -> None:
    product = text_product(tmp_path / "p")
    product.train()
    found = product.shrink(only=["bf16", "int8"])
    assert all("shared trunk" in each.why for each in found.tried)
    assert found.bundle is None


@pytest.mark.parametrize("method", ["finetune", "lora"])
def test_an_adapted_trunk_of_32_bits_becomes_one_of_8_or_16(method: str, tmp_path: Path, faster: None) -> None:
    pytest.importorskip("peft", reason="peft is not installed")
    base = f"folder:{bert_folder(tmp_path / 'bert')}"
    folder = tmp_path / "p"
    text_product(folder, spec=f'[method]\nname = "{method}"\n[method.settings]\nepochs = 2\nbatch = 8\nfolds = 2\nrate = 0.006\n')
    path = folder / "product.toml"
    path.write_text(path.read_text("utf-8").replace('text = "hash"', f'text = "{base}"'), "utf-8")
    product = Product(folder)
    first = product.train()
    assert first.networks["net"].card.precision == "f32"
    found = product.shrink(loss=100, only=["int8", "bf16"])
    wanted = {"int8": "w8-dq128", "bf16": "bf16"}
    able = [each for each in found.tried if each.made is not None]
    if not able:
        pytest.skip("this processor has neither")
    assert found.bundle is not None
    own = found.bundle.networks["net"]
    assert own.card.precision == wanted[found.chosen]
    assert own.card.id != first.networks["net"].card.id
    assert math.isfinite(next(product.predict([{"text": "parcel late"}], "v2"))["scores"]["refund"])


def test_what_was_lost_is_paired_and_in_points() -> None:
    spec = spec_of("classify")
    known = examples(n=90)
    right = np.eye(3)[known.target]
    wrong = right.copy()
    wrong[:9] = np.roll(right[:9], 1, axis=1)
    task = TASKS.get("classify")()
    found = loss(spec, task, known, Prediction(right), Prediction(wrong))
    primary = task.primary(spec)
    if primary == "accuracy":
        assert found.points.value == pytest.approx(10)
    assert found.points.low > 0
    assert loss(spec, task, known, Prediction(right), Prediction(right)).points.value == 0
    number, spec = examples("regress"), spec_of("regress")
    task = TASKS.get("regress")()
    near, far = number.target + 1.0, number.target + 1.5
    assert loss(spec, task, number, Prediction(near), Prediction(far)).points.value == pytest.approx(50, abs=80)
    assert loss(spec, task, number, Prediction(far), Prediction(near)).points.value < 0


def test_costs_are_measured_in_turn() -> None:
    def work(n: int) -> Any:
        def answer(rows: Sequence[Any]) -> None:
            sum(range(n))

        return answer

    found = costs(work(400_000), work(40_000), [1, 2, 3])
    assert found.times.value > 3
    assert found.before.value > found.after.value


def form(points: float, times: tuple[float, float], size: int) -> Tried:
    return Tried("x", 0.0, "", size, Loss(sure(1), sure(1), sure(points)), Costs(sure(1), sure(1), Estimate(1.0, *times, 9)))


@pytest.mark.parametrize(
    ("tried", "passes"),
    [
        (form(0.5, (1.1, 1.3), 9), True),
        (form(0.51, (1.1, 1.3), 9), False),
        (form(math.nan, (1.1, 1.3), 9), False),
        (form(-1, (0.9, 1.1), 9), True),  # smaller, and no slower as far as one can tell
        (form(-1, (0.9, 1.1), 10), False),
        (form(-1, (0.8, 0.9), 1), False),
        (Tried("x", 0.0, "can't"), False),
    ],
)
def test_the_gate(tried: Tried, passes: bool) -> None:
    assert tried.passes(0.5, 10) is passes


def test_the_command_knows_the_forms() -> None:
    from trunkline.commands.shrink import NAMES

    assert tuple(run.FORMS) == NAMES

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from tests.products import text_product, texts, write_rows

from trunkline.errors import BundleError, BusyError, DataError, GateFailed, SpecError
from trunkline.files import folder_lock
from trunkline.line.train import WORK
from trunkline.product import Product, import_product
from trunkline.terminal import Progress

QUESTION = {"text": "my parcel is late 包裹"}


def members(file: Path) -> list[bytes]:
    with zipfile.ZipFile(file) as archive:
        return [archive.read(name) for name in archive.namelist() if name.startswith(("report", "card"))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Product:
    product = text_product(tmp_path_factory.mktemp("matrix") / "support")
    wrong = [("the courier is late, tracking my parcel", "refund")]  # one mistake for the report
    write_rows(product.folder / "test.csv", ["text", "label"], [*texts(59, seed=1), *wrong])
    product.train()
    return product


def test_training_leaves_a_proven_bundle_that_is_not_live(trained: Product) -> None:
    bundle = trained.bundle()
    assert bundle.version == "v1"
    assert bundle.manifest.passed
    assert bundle.report["metrics"]["accuracy"]["value"] > 0.9
    assert {"majority", "ngrams"} <= set(bundle.report["metrics"]["accuracy"]["baselines"])
    assert trained.shelf.live() is None


def test_predict_answers_as_the_server_does(trained: Product) -> None:
    answers = list(trained.predict([QUESTION, {"text": ""}, {"text": "密码 重置 my password"}]))
    assert [a["status"] for a in answers] == ["ok", "error", "ok"]
    assert [answers[0]["label"], answers[2]["label"]] == ["delivery", "password"]
    assert [a["id"] for a in answers] == [0, 1, 2]


def test_a_row_has_the_same_answer_in_any_company(trained: Product) -> None:
    alone = next(trained.predict([QUESTION]))
    many = list(trained.predict([*({"text": t} for t, _ in texts(700, seed=5)), QUESTION]))
    assert many[-1]["scores"] == alone["scores"]
    assert many[-1]["id"] == 700


def test_training_again_gives_the_same_answers_and_a_new_version(tmp_path: Path) -> None:
    product = text_product(tmp_path / "twice", rows=90)
    first, second = product.train(), product.train()
    assert first.manifest.digest.answers == second.manifest.digest.answers
    assert [first.version, second.version] == ["v1", "v2"]


def test_known_texts_are_not_encoded_again(tmp_path: Path) -> None:
    product = text_product(tmp_path / "one", rows=90)
    product.train()
    misses = product.desk.features.counts.misses
    text_product(tmp_path / "two", rows=90)
    Product(tmp_path / "two", product.desk).train()
    assert product.desk.features.counts.misses == misses


def test_evaluate_on_other_rows(trained: Product, tmp_path: Path) -> None:
    write_rows(tmp_path / "new.csv", ["text", "label"], list(texts(30, seed=9)))
    report = trained.evaluate(tmp_path / "new.csv")
    assert report["metrics"]["accuracy"]["n"] == 30
    assert report["verdict"]["passed"], report["verdict"]
    again = trained.evaluate(trained.folder / "train.csv")
    assert [f["check"] for f in again["data"]["findings"]] == ["seen_rows"]
    assert trained.evaluate()["metrics"]["accuracy"]["n"] == 60


def test_export_and_import_give_the_same_answers(trained: Product, tmp_path: Path) -> None:
    file = trained.export(tmp_path / "support.tlb")
    folder, bundle = import_product(file, tmp_path / "elsewhere")
    assert bundle.manifest.digest.answers == trained.bundle().manifest.digest.answers
    again = Product(folder, trained.desk)
    write_rows(tmp_path / "new.csv", ["text", "label"], list(texts(30, seed=9)))
    alone = again.evaluate(tmp_path / "new.csv")  # without training rows there are no baselines
    assert alone["metrics"]["accuracy"]["value"] > 0.9
    assert list(again.predict([QUESTION])) == list(trained.predict([QUESTION]))
    assert not any(b"courier" in content for content in members(file))
    kept = trained.export(tmp_path / "rows.tlb", with_rows=True)
    assert any(b"courier" in content for content in members(kept))
    with pytest.raises(BundleError, match="there already"):
        import_product(file, tmp_path / "elsewhere")


def test_deploying_names_what_serves(tmp_path: Path) -> None:
    product = text_product(tmp_path / "live", rows=90)
    product.train()
    assert product.deploy().version == "v1"
    product.train()
    assert product.shelf.live() == "v1"
    assert product.bundle().report["metrics"]["accuracy"]["gains"]["live"]["value"] == 0


def test_a_failed_gate_keeps_the_bundle_but_may_not_serve(tmp_path: Path) -> None:
    product = text_product(tmp_path / "weak", rows=90, gate="accuracy.low >= 0.999")
    bundle = product.train()
    assert not bundle.manifest.passed
    with pytest.raises(GateFailed):
        product.deploy()
    assert product.deploy(override="pilot with three customers").version == bundle.version


def test_a_gate_that_names_nothing_is_found_before_training(tmp_path: Path) -> None:
    product = text_product(tmp_path / "typo", rows=90, gate="acuracy.low >= 0.5")
    for attempt in (product.validate, product.train):
        with pytest.raises(SpecError, match="did you mean 'accuracy"):
            attempt()
    assert product.shelf.versions() == []


def test_a_product_that_never_answers_fails(tmp_path: Path) -> None:
    product = text_product(tmp_path / "silent", rows=60, spec="[serve]\nabstain_precision = 0.9999")
    bundle = product.train()
    assert not bundle.manifest.passed
    assert bundle.report["verdict"]["results"][0]["rule"] == "answered > 0"


def test_one_class_stops_before_training(tmp_path: Path) -> None:
    product = text_product(tmp_path / "single")
    write_rows(tmp_path / "single" / "train.csv", ["text", "label"], [(t, "refund") for t, _ in texts(40)])
    write_rows(tmp_path / "single" / "test.csv", ["text", "label"], [(t, "refund") for t, _ in texts(9, 1)])
    with pytest.raises(DataError):
        product.train()
    assert product.shelf.versions() == []


def test_two_trainings_at_once(tmp_path: Path) -> None:
    product = text_product(tmp_path / "busy", rows=90)
    with folder_lock(product.folder / WORK, "training"), pytest.raises(BusyError):
        product.train()
    assert product.train().version == "v1"


@pytest.mark.parametrize("station", ["data", "learn", "prove"])
def test_an_interruption_leaves_the_last_good_state(tmp_path: Path, station: str) -> None:
    class Interrupted(Progress):
        def station(self, name: str, text: str) -> None:
            if name == station:
                raise KeyboardInterrupt

    product = text_product(tmp_path / "cut", rows=90)
    good = product.train()
    with pytest.raises(KeyboardInterrupt):
        product.train(Interrupted())
    assert product.shelf.versions() == [good.version]
    assert sorted(p.name for p in product.shelf.home.iterdir() if p.is_dir()) == [good.version]
    assert product.bundle().manifest.digest == good.manifest.digest
    product.train()


def test_multilabel_and_regress_go_the_same_line(tmp_path: Path) -> None:
    rows = texts(120)
    folder = tmp_path / "tags"
    product = text_product(folder)
    pairs = [(f"{a} {b}", f"{x}|{y}" if x != y else x) for (a, x), (b, y) in zip(rows, rows[1:] + rows[:1], strict=True)]
    write_rows(folder / "train.csv", ["text", "label"], pairs[:80])
    write_rows(folder / "test.csv", ["text", "label"], pairs[80:])
    toml = (folder / "product.toml").read_text("utf-8").replace("classify", "multilabel")
    (folder / "product.toml").write_text(toml, "utf-8")
    product.train()
    answer = next(product.predict([{"text": "parcel late tracking refund money return"}]))
    assert set(answer["labels"]) <= {"delivery", "refund", "password"}

    folder = tmp_path / "price"
    product = text_product(folder)
    numbers = [(t, str(len(t) * 2.5)) for t, _ in rows]
    write_rows(folder / "train.csv", ["text", "label"], numbers[:80])
    write_rows(folder / "test.csv", ["text", "label"], numbers[80:])
    toml = (folder / "product.toml").read_text("utf-8").replace("classify", "regress")
    (folder / "product.toml").write_text(toml, "utf-8")
    product.train()
    answer = next(product.predict([{"text": "my parcel is late"}]))
    assert answer["low"] < answer["value"] < answer["high"]


def test_a_table_needs_no_trunk(tmp_path: Path) -> None:
    folder = tmp_path / "risk"
    folder.mkdir()
    rows = [(str(i % 17), "ab"[i % 2], "yes" if (i % 17) > 8 else "no") for i in range(200)]
    write_rows(folder / "train.csv", ["amount", "kind", "risk"], rows)
    (folder / "product.toml").write_text(
        'name = "risk"\ntask = "classify"\nlabel = "risk"\n'
        'inputs = { amount = "number", kind = "category" }\n[gate]\nrules = ["accuracy.low > 0.8"]\n'
    )
    product = Product(folder)
    bundle = product.train()
    assert bundle.manifest.trunks == ()
    assert next(product.predict([{"amount": 16, "kind": "a"}]))["label"] == "yes"

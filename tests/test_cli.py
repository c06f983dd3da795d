from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.products import text_product, texts, write_rows

from trunkline.__main__ import main as start
from trunkline.cli import main
from trunkline.errors import MissingExtra


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a trained product `support` in it; the working folder of the commands."""
    root = tmp_path_factory.mktemp("cli")
    before, cache = os.getcwd(), os.environ.get("TRUNKLINE_CACHE")
    os.environ["TRUNKLINE_CACHE"] = str(root / "cache")
    os.chdir(root)
    text_product(root / "support", rows=90)
    assert run("train", "support").exit_code == 0
    yield root
    os.chdir(before)
    os.environ.pop("TRUNKLINE_CACHE")
    if cache is not None:
        os.environ["TRUNKLINE_CACHE"] = cache


def run(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, list(words), input=stdin)


def as_json(*words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("home")
class TestCommands:
    def test_train_says_where_the_report_lies(self, home: Path) -> None:
        text_product(home / "fresh", rows=60)
        result = run("train", "fresh")
        assert result.exit_code == 0
        assert "✓ data" in result.stderr
        assert str(Path("fresh/bundles/v1/report.html")) in result.stdout
        assert len(result.stdout.strip().splitlines()) <= 12

    def test_json_has_one_object_on_stdout(self) -> None:
        assert as_json("validate", "support")["rows"]["train"] > 0
        assert as_json("config", "support")["method"]["head_mb"] == 1.0
        assert as_json("evaluate", "support")["verdict"]["passed"] is True
        assert as_json("trunks", "list")["trunks"]
        assert as_json("trunks", "show", "hash")["licence"] == "Apache-2.0"

    def test_config_is_toml_that_reads_back(self) -> None:
        import tomllib

        from trunkline.spec import load_spec, parse_spec

        assert parse_spec(tomllib.loads(run("config", "support").stdout)) == load_spec(Path("support"))

    def test_schema_is_a_json_schema(self) -> None:
        assert "$defs" in json.loads(run("schema").stdout)

    def test_predict_a_text_a_file_and_lines(self, home: Path) -> None:
        assert json.loads(run("predict", "support", "包裹 快递 物流").stdout)["label"] == "delivery"
        write_rows(home / "ask.csv", ["text"], [("my parcel is late",), ("reset my password",)])
        answers = [json.loads(line) for line in run("predict", "support", "--file", "ask.csv").stdout.splitlines()]
        assert [a["label"] for a in answers] == ["delivery", "password"]
        lines = '{"text": "refund money"}\n\n{"text": "parcel courier"}\n'
        said = run("predict", "support", stdin=lines).stdout.splitlines()
        assert [json.loads(line)["label"] for line in said] == ["refund", "delivery"]

    def test_a_file_without_the_column_names_the_nearest(self, home: Path) -> None:
        write_rows(home / "wrong.csv", ["txt"], [("hello",)])
        result = run("predict", "support", "--file", "wrong.csv")
        assert result.exit_code == 2
        assert "there is no column 'text'" in result.stderr
        assert "'txt'" in result.stderr
        assert len(result.stderr.strip().splitlines()) <= 4

    def test_errors_as_json(self) -> None:
        result = run("train", "nowhere", "--json")
        assert result.exit_code == 2
        assert json.loads(result.stdout)["error"] == "SpecError"

    @pytest.mark.parametrize(
        "words",
        [["predict"], ["predict", "support", "--nope"], ["nonsense"], ["trunks", "show"], ["init", "a"], []],
    )
    def test_a_command_line_that_cannot_be_read_is_one_object_too(self, words: list[str]) -> None:
        result = run(*words, "--json")
        assert result.exit_code == 2
        said = json.loads(result.stdout)
        assert said["error"] == "UsageError"
        assert said["try"].startswith("trunkline") or said["try"].startswith("main")
        assert result.stderr == ""

    @pytest.mark.parametrize(
        ("words", "what"),
        [
            (["trian", "x"], "no such command 'trian'"), (["train"], "missing argument 'FOLDER'"), (["train", "x", "--fooo"], "no such option '--fooo'"),
            (["train", "x", "y"], "got unexpected extra argument (y)"), (["serve", "x", "--port", "99999"], "99999 is not in the range"),
            (["init", "x", "--template"], "requires an argument"), (["init", "x"], "give either --template NAME or --from FILE"),
        ],
    )  # fmt: skip
    def test_a_command_line_that_cannot_be_read_looks_like_every_error(self, words: list[str], what: str) -> None:
        result = run(*words)
        assert (result.exit_code, result.stdout) == (2, "")
        first, *rest = result.stderr.strip().splitlines()
        assert what in first
        assert len(rest) == 1
        assert rest[0].strip().startswith("try: ")
        assert rest[0].endswith(" --help")

    @pytest.mark.parametrize("words", [["shrink"], ["export"], ["evaluate"], ["train"], ["export", "--for", "phone", "--to", "x"]])
    def test_a_folder_without_a_product_is_told_as_that(self, words: list[str]) -> None:
        result = run(words[0], "nowhere", *words[1:])
        assert result.exit_code == 2
        assert "there is no product here" in result.stderr

    @pytest.mark.parametrize("command", ["train", "tune", "predict", "validate"])
    def test_a_file_in_the_place_of_the_folder(self, command: str) -> None:
        result = run(command, "support/product.toml", *(["hello"] if command == "predict" else []))
        assert result.exit_code == 2
        assert "wanted its folder, like support" in result.stderr

    def test_no_processes_are_started_for_a_product_that_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("trunkline.training.launch.run", lambda *_: pytest.fail("started"))
        result = run("train", "nowhere", "--processes", "2")
        assert result.exit_code == 2
        assert "there is no product here" in result.stderr

    def test_json_behind_two_dashes_is_a_text(self) -> None:
        result = run("predict", "nowhere", "--", "--json")
        assert "no product here" in result.stderr
        assert result.stdout == ""

    @pytest.mark.parametrize(
        ("stdin", "says"), [(b"", "no rows"), (b"\n \n", "no rows"), (b"[1]\n", "line 1"), (b'{"text": "\xff"}\n', "line 1")]
    )
    def test_stdin_that_holds_no_rows(self, stdin: bytes, says: str) -> None:
        result = CliRunner().invoke(main, ["predict", "support"], input=stdin)
        assert (result.exit_code, result.stdout) == (2, "")
        assert says in result.stderr

    def test_labels_that_are_all_missing_prove_nothing(self, home: Path) -> None:
        write_rows(home / "blank.csv", ["text", "label"], [("my parcel is late", ""), ("refund", "")])
        result = run("evaluate", "support", "--data", "blank.csv")
        assert result.exit_code == 2
        assert "no test rows are left" in result.stderr

    @pytest.mark.parametrize("into", ["taken", "taken/sub", "."])
    def test_an_import_into_the_place_of_a_file(self, home: Path, into: str) -> None:
        place = home / "import"
        place.mkdir(exist_ok=True)
        if not (home / "s.tlb").exists():
            assert run("export", "support", "-o", "s.tlb").exit_code == 0
        (place / "taken").write_text("x")
        (place / "support").write_text("x")
        result = run("import", "s.tlb", "--into", str(place / into))
        assert result.exit_code == 2
        assert str(place) in result.stderr
        assert "space" not in result.stderr
        assert sorted(entry.name for entry in place.iterdir()) == ["support", "taken"]

    def test_deploy_export_import(self, home: Path) -> None:
        assert as_json("deploy", "support")["version"] == "v1"
        assert as_json("export", "support", "-o", "support.tlb")["bytes"] > 1000
        assert as_json("import", "support.tlb", "--into", "other")["version"] == "v1"
        assert run("import", "support.tlb", "--into", "other").exit_code == 2

    def test_a_failed_gate_is_exit_code_3(self, home: Path) -> None:
        text_product(home / "weak", rows=60, gate="accuracy.low >= 0.9999")
        assert run("train", "weak").exit_code == 3
        assert run("evaluate", "weak").exit_code == 3
        assert run("deploy", "weak").exit_code == 3
        assert run("deploy", "weak", "--override", "a pilot").exit_code == 0

    def test_init_from_a_template_and_from_a_file(self, home: Path) -> None:
        assert run("init", "questions", "--template", "intent").exit_code == 0
        assert run("init", "questions", "--template", "intent").exit_code == 2
        write_rows(home / "mine.csv", ["comment", "topic"], list(texts(60)))
        found = as_json("init", "mine", "--from", "mine.csv", "--label", "topic")
        assert any("comment" in note for note in found["notes"])
        assert run("validate", "mine").exit_code == 0
        assert run("init", "neither").exit_code == 2
        assert run("init", "both", "--template", "intent", "--label", "topic").exit_code == 2

    def test_init_in_the_folder_one_stands_in(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (home / "here").mkdir()
        monkeypatch.chdir(home / "here")
        assert run("init", ".", "--template", "intent").exit_code == 0
        assert as_json("config", ".")["name"] == "here"

    def test_help_names_every_command(self) -> None:
        said = run("--help").stdout
        for name in main.commands:
            assert name in said
            assert run(name, "--help").exit_code == 0


def test_ctrl_c_while_the_commands_are_imported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "trunkline.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "trunkline.cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        start()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "\nstopped; the last good state is untouched\n"


def test_ctrl_c_while_a_library_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pybind11 makes an ImportError of it, and a caller an error of its own."""

    def masked(*_: object) -> None:
        try:
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt as interrupt:
                raise ImportError("initialization failed") from interrupt
        except ImportError:
            raise MissingExtra("openvino", "heads") from None

    monkeypatch.setattr("trunkline.spec.reference.json_schema", masked)
    result = run("schema")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "\nstopped; the last good state is untouched\n"


def test_ctrl_c_during_training_leaves_no_half_bundle(tmp_path: Path) -> None:
    product = text_product(tmp_path / "big", rows=6000)
    env = {**os.environ, "TRUNKLINE_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "trunkline", "train", str(product.folder)]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background shell has it ignored
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, preexec_fn=heard) as process:
        assert process.stderr is not None
        first = process.stderr.readline()  # the data station has ended
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, first + rest
    assert "the last good state is untouched" in rest
    assert product.shelf.versions() == []


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    text_product(tmp_path / "support", rows=60)
    env = {**os.environ, "TRUNKLINE_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "trunkline"]
    subprocess.run([*command, "train", "support"], cwd=tmp_path, env=env, check=True, capture_output=True, timeout=100)
    write_rows(tmp_path / "many.csv", ["text"], [(f"parcel {i}",) for i in range(3000)])
    with subprocess.Popen(
        [*command, "predict", "support", "--file", "many.csv"],
        cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["label"] == "delivery"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141

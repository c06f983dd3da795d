"""A package of its own adds a part at each door by entry points alone, and a product stands on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from tests.plugin.installed import install

from trunkline.errors import TrunklineError
from trunkline.types import Call
from trunkline_example.head import TwoStepHead
from trunkline_example.trunk import LettersEngine

PARTS = {
    "trunkline.data.sources:SOURCES": "tagged",
    "trunkline.inputs:KINDS": "dna",
    "trunkline.trunks:TRUNKS": "letters",
    "trunkline.tasks:TASKS": "grade",
    "trunkline.methods:METHODS": "two-step",
    "trunkline.heads:HEADS": "two-step",
}


def run(code: str, paths: list[str], cache: Path | None = None) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TRUNKLINE_CACHE": str(cache or Path.home())}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("door", "name"), PARTS.items())
def test_a_part_is_there_once_the_package_is_installed(door: str, name: str, tmp_path: Path) -> None:
    module, _, attribute = door.partition(":")
    code = f"from {module} import {attribute} as door; print({name!r} in door.names())"
    assert run(code, []).strip() == "False"
    loads = f"{code}; print(door.get({name!r}).__module__)"
    assert run(loads, install(tmp_path)).split()[0] == "True"
    assert run(loads, install(tmp_path / "again")).split()[1].startswith("trunkline_example.")


def test_a_product_stands_on_foreign_parts_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mood"
    folder.mkdir()
    grades = {"1": ("terrible", "很差"), "2": ("fine", "一般"), "3": ("wonderful", "很棒")}
    lines = [f"{g}\tthe room {i} was {en} 房间{zh}" for i in range(30) for g, (en, zh) in grades.items()]
    (folder / "rows.tagged").write_text("\n".join(lines), encoding="utf-8")
    (folder / "product.toml").write_text(
        """
        name = "mood"
        task = "grade"
        label = "label"
        inputs = { text = "text" }
        trunks = { text = "letters" }
        data = { train = "rows.tagged" }
        method = { name = "two-step", folds = 3 }
        gate = { rules = ["gain.majority.low > 0"] }
        """
    )
    code = f"""
        import json
        from pathlib import Path
        from trunkline import Product
        product = Product(Path({str(folder)!r}))
        bundle = product.train()
        texts = ["the room was terrible 房间很差", "the room was wonderful 房间很棒"]
        print(json.dumps([a["label"] for a in product.predict([{{"text": t}} for t in texts])]))
    """
    said = run(code, install(tmp_path / "site"), tmp_path / "cache")
    assert json.loads(said.splitlines()[-1]) == ["1", "3"]


def test_the_heads_program_yields_twice() -> None:
    engine = LettersEngine()
    texts = ["很好 good", "很差 bad"]
    vectors = engine.run(Call("trunk:letters", texts))
    head = TwoStepHead("trunk:letters", "text", 2, texts, vectors, np.array([0, 1]))
    program = head.run([{"text": "good"}, {"text": "很差"}])
    asked = next(program)
    asked = program.send([engine.run(asked[0])])
    assert asked[0].items == ["good\n很好 good", "很差\n很差 bad"]
    with pytest.raises(StopIteration) as end:
        program.send([engine.run(asked[0])])
    assert end.value.value.values.argmax(axis=1).tolist() == [0, 1]
    broken = head.save()[1] | {"classes": np.array([0, 7])}
    with pytest.raises(TrunklineError, match="don't fit"):
        TwoStepHead.load(head.save()[0], broken)

"""One loop: exact, resumable, honest about what went wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from tests.training import small  # noqa: E402

from trunkline.errors import TrainError  # noqa: E402
from trunkline.terminal import Progress  # noqa: E402
from trunkline.training import checkpoint, gradient  # noqa: E402
from trunkline.training.gradient import Recipe  # noqa: E402
from trunkline.training.loop import train_loop  # noqa: E402
from trunkline.training.settings import LoopSettings  # noqa: E402

change = msgspec.structs.replace


def test_it_learns_what_no_line_can() -> None:
    made = small.recipe()
    found = train_loop(made, change(small.SETTINGS, epochs=40), seed=0)
    assert max(epoch.figures["accuracy"] for epoch in found.epochs) > 0.9
    assert found.epochs[-1].loss < found.epochs[0].loss
    assert not made.module.training


def test_one_seed_gives_the_same_bits_and_another_seed_others() -> None:
    both = [small.recipe(), small.recipe(), small.recipe()]
    for made, seed in zip(both, (1, 1, 2), strict=True):
        train_loop(made, small.SETTINGS, seed=seed)
    one, same, other = (small.weights(made.module) for made in both)
    assert one == same
    assert one != other


def test_training_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    made = small.recipe()
    torch.manual_seed(5)
    train_loop(made, change(small.SETTINGS, epochs=1), seed=0)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("steps", [5, 40])
def test_a_training_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path, steps: int) -> None:
    """kill -9 after some steps, twice; then to the end."""
    wanted, _ = small.learn(None)
    folder, seen = tmp_path / "kept", 0
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.training.small", str(folder)], stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])}, cwd=Path(__file__).parents[2],
        ) as child:  # fmt: skip
            end, goal = time.monotonic() + 240, seen + steps
            while time.monotonic() < end and child.poll() is None and seen < goal:
                kept = checkpoint.read(folder)
                seen = kept[1]["step"] if kept else 0
                time.sleep(0.005)
            child.send_signal(signal.SIGKILL)
        assert seen >= goal
    found, learned = small.learn(folder)
    assert learned.notes[-1][0] == "resumed"
    assert found == wanted
    assert len(learned.epochs) == small.SETTINGS.epochs


def test_another_training_does_not_go_on_from_it(tmp_path: Path) -> None:
    wanted = small.recipe()
    train_loop(wanted, small.SETTINGS, seed=4)
    small.learn(tmp_path)
    other = small.recipe()
    train_loop(other, small.SETTINGS, seed=4, folder=tmp_path, about="another")
    assert small.weights(other.module) == small.weights(wanted.module)


def test_a_damaged_checkpoint_is_none(tmp_path: Path) -> None:
    small.learn(tmp_path)
    path = tmp_path / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:-100])
    assert checkpoint.read(tmp_path) is None
    wanted, _ = small.learn(None)
    assert small.learn(tmp_path)[0] == wanted


def test_parts_of_a_batch_give_the_gradient_of_the_batch() -> None:
    whole, parts = (replace(small.recipe(), module=torch.nn.Linear(2, 2)) for _ in range(2))
    parts.module.load_state_dict(whole.module.state_dict())
    settings = change(small.SETTINGS, average=0.0, accumulate=1)
    train_loop(replace(whole, batch=plain(whole)), settings, seed=0)
    train_loop(replace(parts, batch=plain(parts)), change(settings, accumulate=5), seed=0)
    for one, other in zip(whole.module.parameters(), parts.module.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def plain(made: Recipe) -> Any:
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.standard_normal((small.ROWS, 2)).astype(np.float32))
    y = (x[:, 0] > 0).long()
    return lambda rows, _: (x[rows], y[rows])


def test_a_batch_too_large_for_memory_goes_through_in_halves() -> None:
    made = small.recipe()
    loss = made.loss

    def short(module: Any, batch: Any) -> Any:
        if len(batch[0]) > 4:
            raise torch.OutOfMemoryError("out of memory")
        return loss(module, batch)

    found = train_loop(replace(made, loss=short), change(small.SETTINGS, accumulate=1), seed=0)
    assert found.notes == (
        ("halved", {"step": 1, "rows": 16, "parts": 2}),
        ("halved", {"step": 1, "rows": 16, "parts": 4}),
    )
    assert len(found.epochs) == small.SETTINGS.epochs


def test_one_row_too_large_is_an_error() -> None:
    def never(module: Any, batch: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    with pytest.raises(TrainError, match="one row is too large"):
        train_loop(replace(small.recipe(), loss=never), small.SETTINGS, seed=0)


def test_another_error_of_torch_is_no_lack_of_memory() -> None:
    def wrong(module: Any, batch: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        train_loop(replace(small.recipe(), loss=wrong), small.SETTINGS, seed=0)


def failing(made: Recipe, step: int) -> Recipe:
    """A loss that is no number from a step on."""
    loss, seen = made.loss, 0

    def bad(module: Any, batch: Any) -> Any:
        nonlocal seen
        seen += 1
        return loss(module, batch) * (float("nan") if seen >= step else 1.0)

    return replace(made, loss=bad)


def test_a_loss_that_is_no_number_stops_and_brings_the_last_good_weights_back() -> None:
    settings = change(small.SETTINGS, accumulate=1, average=0.0, schedule="constant", warmup=0.0)
    wanted = small.recipe(judged=False)
    train_loop(wanted, change(settings, epochs=2), seed=0)
    made = small.recipe(judged=False)
    found = train_loop(failing(made, 40), settings, seed=0)  # 16 steps an epoch
    assert found.stopped == "the loss was nan at step 40; the weights are those of step 32"
    assert small.weights(made.module) == small.weights(wanted.module)


def test_a_loss_that_is_no_number_at_once_is_an_error() -> None:
    with pytest.raises(TrainError, match="learning failed"):
        train_loop(failing(small.recipe(), 1), small.SETTINGS, seed=0)


@pytest.mark.parametrize("change_to", [{"rate": 1e38}, {"rate": 1e300}, {"rate": 1e30, "optimiser": "sgd"}, {"l2": 1e300}])
def test_a_setting_beyond_float32_is_an_error_of_learning(change_to: dict[str, Any]) -> None:
    with pytest.raises(TrainError, match="learning failed"):
        train_loop(small.recipe(), change(small.SETTINGS, **{"clip": 0.0, **change_to}), seed=0)


def test_it_stops_early_with_the_best_weights() -> None:
    made = small.recipe()
    losses = iter([3.0, 1.0, 2.0, 2.5, 9.0])
    kept = []

    def judge(module: Any) -> dict[str, float]:
        kept.append(small.weights(module))
        return {"loss": next(losses)}

    found = train_loop(replace(made, judge=judge), change(small.SETTINGS, patience=2, average=0.0), seed=0)
    assert [epoch.figures["loss"] for epoch in found.epochs] == [3.0, 1.0, 2.0, 2.5]
    assert "no better validation loss for 2 epochs" in found.stopped
    assert small.weights(made.module) == kept[1]


def test_every_row_once_an_epoch_and_rows_of_like_size_together() -> None:
    made, seen = small.recipe(), []
    sizes = np.arange(small.ROWS) % 37

    def batch(rows: Any, rng: np.random.Generator) -> Any:
        seen.append(rows)
        return made.batch(rows, rng)

    settings = change(small.SETTINGS, epochs=2, accumulate=1)
    train_loop(replace(made, batch=batch, sizes=sizes), settings, seed=0)
    first = np.concatenate(seen[: small.ROWS // 16])
    assert sorted(first) == list(range(small.ROWS))
    assert max(np.ptp(sizes[rows]) for rows in seen) <= 4
    assert not np.array_equal(first, np.concatenate(seen[small.ROWS // 16 :]))


class Shown(Progress):
    def __init__(self) -> None:
        self.last: tuple[str, int, int, str] = ("", 0, 0, "")

    def step(self, what: str, done: int, total: int, note: str = "", unit: str = "rows") -> None:
        self.last = (what, done, total, note)


def test_progress_tells_loss_and_metric() -> None:
    shown = Shown()
    train_loop(small.recipe(), small.SETTINGS, seed=0, progress=shown, name="fold 1")
    what, done, total, note = shown.last
    assert (what, done) == ("fold 1", total)
    assert "loss" in note
    assert "accuracy" in note


def test_event_files_hold_the_curve(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    settings = change(small.SETTINGS, tracker="tensorboard", tracker_folder=str(tmp_path), epochs=3)
    train_loop(small.recipe(), settings, seed=0, name="whole")
    (file,) = (tmp_path / "whole").iterdir()
    content = file.read_bytes()
    assert content.count(b"train/loss") == 3
    assert content.count(b"validation/accuracy") == 3


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(msgspec.ValidationError, match="optimiser"):
        msgspec.convert({"optimiser": "adamm"}, LoopSettings)
    with pytest.raises(msgspec.ValidationError, match="rate"):
        msgspec.convert({"rate": -1.0}, LoopSettings)


def test_streams_of_random_numbers_differ() -> None:
    assert len({gradient.stream(0, kind, step) for kind in (1, 2, 3) for step in range(50)}) == 150

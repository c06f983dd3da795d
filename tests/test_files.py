from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import BusyError, DataError, TrunklineError
from trunkline.files import atomic_folder, digest_file, folder_lock, safe_below, turn, write_atomic


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.bin"
    write_atomic(file, b"one")
    write_atomic(file, b"two")
    assert file.read_bytes() == b"two"
    assert list(file.parent.iterdir()) == [file]


def test_disk_full_names_the_file_and_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.bin"
    write_atomic(file, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrunklineError) as caught:
        write_atomic(file, b"new")
    assert str(file) in str(caught.value)
    assert "No space left" in str(caught.value)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_write_atomic_cleans_up_after_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_atomic_folder_appears_whole(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "bundle") as temp:
        (temp / "deep").mkdir()
        (temp / "deep" / "a").write_text("1")
        assert not (tmp_path / "bundle").exists()
    assert (tmp_path / "bundle" / "deep" / "a").read_text() == "1"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x")])
def test_atomic_folder_leaves_nothing_after_an_exception(tmp_path: Path, error: BaseException) -> None:
    def fill() -> None:
        with atomic_folder(tmp_path / "bundle") as temp:
            (temp / "a").write_text("1")
            raise error

    with pytest.raises(type(error)):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_atomic_folder_on_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TrunklineError, match="can't write bundle"), atomic_folder(tmp_path / "bundle"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_atomic_folder_never_replaces(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(TrunklineError, match="exists already"), atomic_folder(tmp_path / "bundle"):
        raise AssertionError("the block must not run")


def test_folder_lock_is_exclusive_and_names_the_holder(tmp_path: Path) -> None:
    found: list[BaseException] = []

    def try_too() -> None:
        try:
            with folder_lock(tmp_path, "evaluating"):
                pass
        except BusyError as error:
            found.append(error)

    with folder_lock(tmp_path, "training"):
        thread = threading.Thread(target=try_too)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}: training" in str(found[0])
    with folder_lock(tmp_path, "again"):
        pass


def test_what_a_killed_process_left_hinders_nobody(tmp_path: Path) -> None:
    """kill -9 while it holds a folder and a turn: its lock files stay, its locks don't."""
    code = (
        "import sys, time; from pathlib import Path; from trunkline.files import folder_lock, turn\n"
        "with folder_lock(Path(sys.argv[1]), 'training'), turn(Path(sys.argv[1]) / 'net.lock', 1.0):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=f"process {child.pid}: training"), folder_lock(tmp_path, "other"):
            pass
        child.kill()
    assert (tmp_path / ".lock").exists()
    with folder_lock(tmp_path, "training"), turn(tmp_path / "net.lock", 1.0):
        assert str(os.getpid()) in (tmp_path / ".lock.json").read_text()


def test_digest_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert digest_file(tmp_path / "a") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with pytest.raises(DataError):
        digest_file(tmp_path / "b")


@pytest.mark.parametrize(
    "bad", ["/etc/passwd", "../a", "a/../../b", "..\\a", "C:\\a", "c:a", "a\0b", "", "link/a", "\\\\host\\share"]
)
def test_safe_below_refuses(tmp_path: Path, bad: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(DataError, match="leaves the folder"):
        safe_below(root, bad)


def test_safe_below_gives_the_path(tmp_path: Path) -> None:
    assert safe_below(tmp_path, "a/b.csv") == tmp_path.resolve() / "a" / "b.csv"
    assert safe_below(tmp_path, "数据.csv").name == "数据.csv"


@given(st.text(alphabet="./\\ab:~ \0", max_size=12))
def test_safe_below_never_leaves(relative: str) -> None:
    root = Path("/nonexistent/root")
    try:
        path = safe_below(root, relative)
    except DataError:
        return
    assert path.is_relative_to(root)


def test_a_folder_that_cannot_be_made_is_told_by_its_lock(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(TrunklineError, match=r"can't write \.lock") as told, folder_lock(tmp_path / "taken" / "tune", "tuning"):
        pass
    assert told.value.found == "Not a directory"
    assert told.value.hint.startswith("check the path")

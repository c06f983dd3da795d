import pytest

from trunkline.errors import TrunklineError
from trunkline.registry import Door


def door() -> Door[type]:
    return Door("toy", {"path": "pathlib:Path"})


def test_builtin_is_imported_on_get() -> None:
    import pathlib

    assert door().get("path") is pathlib.Path


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(TrunklineError, match="did you mean 'path'"):
        door().get("pth")


def test_register_and_unregister() -> None:
    toys = door()
    toys.register("int", int)
    assert toys.get("int") is int
    assert toys.names() == ["int", "path"]
    with pytest.raises(TrunklineError, match="registered already"):
        toys.register("int", int)
    toys.unregister("int")
    assert toys.names() == ["path"]

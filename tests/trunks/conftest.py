"""Converted weights of one test run lie in one temporary cache."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trunkline.engines.threads import limit_blas
from trunkline.trunks import find
from trunkline.types import Engine

limit_blas()


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUNKLINE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def engines(_cache: None) -> dict[str, Engine]:
    """Every built-in trunk that this machine has, loaded."""
    names = ("e5-small", "e5-small-f32", "use-multilingual", "minilm", "hash")
    trunks = {name: find(name) for name in names}
    return {name: trunk.load() for name, trunk in trunks.items() if trunk.available() is None}

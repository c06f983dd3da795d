from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.serve.parts import register


@pytest.fixture(autouse=True)
def _parts() -> Iterator[None]:
    with register():
        yield

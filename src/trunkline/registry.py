"""The six doors. A door is a dict of names to import paths or objects, plus entry points.

Built-ins come through the same door as a stranger's: a package adds its part under the entry-point
group `trunkline.<door>` (for example `trunkline.task`), or calls `register`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from trunkline.errors import TrunklineError, nearest

T = TypeVar("T")


class Door(Generic[T]):
    """Named parts of one sort. Getting one imports it; listing names imports nothing."""

    def __init__(self, name: str, builtin: dict[str, str]) -> None:
        self.name = name
        self._parts: dict[str, Any] = dict(builtin)
        self._scanned = False

    def register(self, name: str, part: T | str) -> None:
        """Add a part (an object, or "package.module:attribute"). A name already taken is an error."""
        if name in self._parts:
            raise TrunklineError(
                f"the {self.name} {name!r} is registered already",
                where=f"door {self.name!r}",
                hint="choose another name, or unregister the first",
            )
        self._parts[name] = part

    def unregister(self, name: str) -> None:
        del self._parts[name]

    def names(self) -> list[str]:
        self._scan()
        return sorted(self._parts)

    def get(self, name: str) -> T:
        """The part called `name`. Raises TrunklineError with the nearest known name."""
        if name not in self._parts:
            self._scan()
        if name not in self._parts:
            raise TrunklineError(
                f"there is no {self.name} called {name!r}",
                found=repr(name),
                hint=nearest(name, self._parts),
            )
        part = self._parts[name]
        if isinstance(part, str):
            module, _, attribute = part.partition(":")
            part = self._parts[name] = getattr(import_module(module), attribute)
        return cast(T, part)

    def _scan(self) -> None:
        """Entry points are looked up once, on the first name that isn't built in."""
        if self._scanned:
            return
        self._scanned = True
        for point in entry_points(group=f"trunkline.{self.name}"):
            self._parts.setdefault(point.name, point.value)

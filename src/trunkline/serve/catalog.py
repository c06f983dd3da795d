"""Which bundle answers under which name, and through which engines; `opening` makes it from a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trunkline.bundle import Bundle
from trunkline.errors import TrunklineError
from trunkline.inputs.row import RowReader
from trunkline.inputs.tensors import item_key
from trunkline.program import engine_runner, merged
from trunkline.tasks import TASKS
from trunkline.types import Ask, Call, Engine, Head, InputKind, Task, Value


@dataclass(frozen=True)
class Served:
    """A product that is ready to answer."""

    bundle: Bundle
    head: Head
    task: Task
    reader: RowReader

    @property
    def name(self) -> str:
        return self.bundle.name

    @property
    def kinds(self) -> dict[str, InputKind]:
        """Input column -> its kind."""
        return {column.name: column.kind for column in self.reader.columns}


@dataclass(frozen=True)
class Catalog:
    """What this server answers, and what it refused and why."""

    products: Mapping[str, Served]
    refused: Mapping[str, TrunklineError] = field(default_factory=dict)
    engines: Mapping[str, Engine] = field(default_factory=dict)  # "trunk:<id>" -> engine

    def explains(self, name: str) -> bool:
        """May callers ask a product why?"""
        return self.products[name].bundle.spec.explain

    def ask(self) -> Ask:
        """Answers calls through the shared engines, equal items once."""
        return merged(engine_runner(self.engines), self.key)

    def key(self, call: Call, item: Value) -> bytes:
        """What names an item of a call: equal items have equal keys."""
        return item_key(self.engines[call.engine].card.kind)(item)


def ready(bundle: Bundle) -> Served:
    """A bundle with its head loaded; its engines are the caller's. Raises BundleError."""
    task = TASKS.get(bundle.spec.task)()
    return Served(bundle, bundle.head(), task, RowReader(bundle.spec.inputs))


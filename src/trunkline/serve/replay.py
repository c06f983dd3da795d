"""A bundle proves itself before it answers: every file verified, its stored rows answered as when it was frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from time import perf_counter

from trunkline.bundle import Bundle
from trunkline.bundle.replay import TOLERANCE, answer_of, difference
from trunkline.errors import BundleError
from trunkline.inputs.row import RowReader
from trunkline.serve.catalog import Served
from trunkline.serve.log import log
from trunkline.tasks import TASKS
from trunkline.types import Ask, Head, Refused, Task, Trunk

Own = Callable[[Mapping[str, Trunk]], None]  # "own:<digest>" -> network


class Proven(Served):
    """A product whose bundle is verified, replayed and loaded on first use, or before it by `prove`.

    Making one costs nothing. Equal only to itself. own: told the product's own networks, once they are verified.
    elsewhere: its engines are, so here it is only verified.
    """

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(
        self, bundle: Bundle, ask: Ask, own: Own = lambda networks: None, elsewhere: bool = False
    ) -> None:
        parts = {
            "bundle": bundle,
            "task": TASKS.get(bundle.spec.task)(),
            "reader": RowReader(bundle.spec.inputs),
            "_ask": ask,
            "_own": own,
            "_elsewhere": elsewhere,
            "_proven": False,
            "_error": None,
        }
        for name, part in parts.items():
            object.__setattr__(self, name, part)

    _ask: Ask
    _own: Own
    _elsewhere: bool
    _proven: bool
    _error: BundleError | None

    @property
    def head(self) -> Head:
        """Raises BundleError for a bundle that didn't prove itself."""
        self.prove()
        return self.bundle.head()

    @property
    def proven(self) -> bool:
        return self._proven

    def prove(self) -> None:
        """Once, or a few times where several threads come first: none waits for another, since an engine may
        need the very pool whose threads would wait. Raises BundleError, from then on always; other errors, as of
        an engine that is out of memory, may pass."""
        if self._proven:
            return
        if self._error is None:
            try:
                if self._elsewhere:
                    self.bundle.verify()
                else:
                    prove(replace(self.bundle), self.task, self._ask, self._own)
                object.__setattr__(self, "_proven", True)
            except BundleError as error:
                object.__setattr__(self, "_error", error)
        if (known := self._error) is not None:
            raise BundleError(known.what, where=known.where, found=known.found, wanted=known.wanted, hint=known.hint)


def prove(bundle: Bundle, task: Task, ask: Ask, own: Own) -> None:
    """Verify and replay; a bundle that is slower here than its gate allows is only named in the log, since
    the machine may be busy. Raises BundleError."""
    bundle.verify()
    if engines := bundle.engines:
        own(engines)
    times = replay(bundle, task, ask)
    if too_slow := slower_than_gate(bundle.spec.gate.rules, times):
        fields = {"product": bundle.name, "version": bundle.version, "found": too_slow}
        log.warning("slower here than the gate allows", extra={"fields": fields})


def replay(bundle: Bundle, task: Task, ask: Ask) -> list[float]:
    """Milliseconds of each stored row, answered alone. Raises BundleError where an answer differs."""
    reader, head, times = RowReader(bundle.spec.inputs), bundle.head(), []
    for stored in bundle.replays():
        values = reader.read(stored.row)
        began = perf_counter()
        if isinstance(values, Refused):
            wrong: str | None = f"a stored row can't be read: {values.code}"
        else:
            found = answer_of(head, task, bundle.decision, bundle.labels, values, ask)
            wrong = difference(stored.answer, found)
        times.append((perf_counter() - began) * 1000)
        if wrong is not None:
            raise BundleError(
                f"{bundle.name} {bundle.version} gives other answers here than where it was made",
                where=str(bundle.folder),
                found=wrong,
                wanted=f"the same, numbers within {TOLERANCE:g}",
                hint="train the product again on this machine, or install the Trunkline that trained it",
            )
    return times


def slower_than_gate(rules: Sequence[str], times: Sequence[float]) -> str | None:
    """The figure and the rule where even the median of the replayed rows (ms) is over a latency rule."""
    if not times or not any("latency" in rule for rule in rules):
        return None
    from trunkline.proof.gate import parse_rule  # few bundles have such a rule

    middle = median(times)
    for rule in map(parse_rule, rules):
        if rule.figure in ("latency_p50_ms", "latency_p95_ms") and rule.op in ("<", "<=") and middle > rule.number:
            return f"median {middle:.1f} ms over {len(times)} rows, wanted {rule}"
    return None

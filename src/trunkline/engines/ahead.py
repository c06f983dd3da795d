"""Work that need not wait: a free thread of the pool begins it, and who needs it does it where none was free."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ClassVar, Generic, Self, TypeVar

from trunkline.engines.threads import pool

A = TypeVar("A")


class Ahead(Generic[A]):
    """Work that a free thread of the pool may begin while this one goes on, as with waiting for a trunk:

        with Ahead(work) as early:
            ...
            early.result()

    Nobody waits for a thread to be free: what none has begun is done by the one that needs it.
    """

    _waiting: ClassVar[dict[int, Ahead[Any]]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()
    _helped: ClassVar[bool] = False  # a thread of the pool comes, or is here

    def __init__(self, work: Callable[[], A]) -> None:
        self._work = work
        self._begun: Future[A] | None = None

    def __enter__(self) -> Self:
        with Ahead._lock:
            Ahead._waiting[id(self)] = self
            come, Ahead._helped = not Ahead._helped, True
        if come:
            pool().submit(Ahead._help)
        return self

    def __exit__(self, *_: object) -> None:
        self._withdraw()

    def result(self) -> A:
        """What the work gives, and raises."""
        begun = self._withdraw()
        return self._work() if begun is None else begun.result()

    def _withdraw(self) -> Future[A] | None:
        """No thread begins it from now on; the one that has."""
        with Ahead._lock:
            Ahead._waiting.pop(id(self), None)
            return self._begun

    @staticmethod
    def _help() -> None:
        while True:
            with Ahead._lock:
                if not Ahead._waiting:
                    Ahead._helped = False
                    return
                _, other = Ahead._waiting.popitem()
                begun = other._begun = Future()
            try:
                begun.set_result(other._work())
            except BaseException as error:  # noqa: BLE001 - raised where the result is needed
                begun.set_exception(error)

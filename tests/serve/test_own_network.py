"""A network that was learned elsewhere, served: through the catalog, the queue, and under a memory budget."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.credit import as_rows, credit_product, rows
from tests.serve.parts import make_product

from trunkline.bundle import Bundle
from trunkline.inputs.tensors import item_key
from trunkline.serve.answer import answering, predict
from trunkline.serve.catalog import ready
from trunkline.serve.opening import open_catalog
from trunkline.serve.residence import Residence
from trunkline.serve.schedule import Scheduler, Ticket
from trunkline.types import Call, Value


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return credit_product(tmp_path_factory.mktemp("served") / "credit").train()


def test_a_thousand_rows_through_the_catalog(bundle: Bundle) -> None:
    catalog = open_catalog(bundle.folder.parents[2])
    assert dict(catalog.refused) == {}
    served = catalog.products["credit"]
    asked = as_rows(rows(1_000, seed=5)[0])
    answers = predict(served, asked, catalog.ask())
    assert {answer["status"] for answer in answers} == {"ok"}
    alone = [predict(served, [row], catalog.ask())[0]["scores"] for row in asked[:50]]
    assert [answer["scores"] for answer in answers[:50]] == alone


def test_two_products_in_one_queue_share_an_engine_that_was_evicted(bundle: Bundle) -> None:
    """Loaded on first use, gone over the budget, back when rows come; equal rows are computed once."""
    (name,) = bundle.engines
    engines = Residence(lambda name: bundle.engines[name].load(), 1, lambda name: bundle.engines[name].size_bytes)

    def key(call: Call, item: Value) -> bytes:
        return item_key(engines[call.engine].card.kind)(item)

    async def both() -> list[list[dict[str, object]]]:
        scheduler, asked = Scheduler(engines, key), as_rows(rows(40, seed=6)[0])
        tickets = [Ticket(product=product) for product in ("one", "two")]
        jobs = [scheduler.run(answering(ready(bundle), asked), ticket) for ticket in tickets]
        ended = await asyncio.gather(*jobs)
        assert sum(spent.computed for _, spent in ended) == 40
        return [answers for answers, _ in ended]

    one, two = asyncio.run(both())
    assert one == two
    assert list(engines) == [name]
    engines.hold("another")
    engines.release("another")
    assert list(engines) == []
    assert asyncio.run(both())[0] == one
    assert engines.loads == 2


def test_a_row_that_breaks_the_network_breaks_no_other(bundle: Bundle) -> None:
    good = as_rows(rows(3, seed=7)[0])
    bad = {**good[0], "amount": None}
    engines = {name: network.load() for name, network in bundle.engines.items()}
    answers = predict(ready(bundle), [*good, bad], lambda calls: [engines[call.engine].run(call) for call in calls])
    assert [answer["status"] for answer in answers] == ["ok", "ok", "ok", "error"]
    assert answers[3]["message"] == "the network has no answer to a row"


def test_a_damaged_network_is_refused_and_others_serve(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.folder.parents[1], tmp_path / "credit")
    make_product(tmp_path, "one")
    (tmp_path / "credit" / "bundles" / bundle.version / "own" / "net" / "model.onnx").write_bytes(b"\0")
    catalog = open_catalog(tmp_path)
    assert list(catalog.products) == ["one"]
    assert "changed" in catalog.refused["credit"].what

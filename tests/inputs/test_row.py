from __future__ import annotations

from trunkline.inputs.row import RowReader
from trunkline.types import Refused


def test_reads_inputs_only_and_names_the_refusing_column() -> None:
    reader = RowReader({"text": "text", "age": "number"}, remember=10)
    assert reader.read({"text": "hi", "age": "1,000", "other": object()}) == {"text": "hi", "age": 1000.0}
    refused = reader.read({"age": 3})
    assert isinstance(refused, Refused)
    assert refused.message.startswith("text:")


def test_remembering_changes_nothing() -> None:
    rows = [{"age": cell} for cell in ("1", "x", "1", "x", 1, 1.0, True)]
    plain, remembering = RowReader({"age": "number"}), RowReader({"age": "number"}, remember=2)
    assert [plain.read(row) for row in rows] == [remembering.read(row) for row in rows]

"""Rows measured by hand in another run (../shared/PEERS.md, section 6) of tools that aren't run here."""

from __future__ import annotations

from typing import Any

_COLUMNS = ("job", "tool", "files", "lines", "install MB", "train s", "accuracy", "AUROC", "saved MB", "first answer s",
            "PSS MB", "calls/s")  # fmt: skip
_ROWS: tuple[tuple[Any, ...], ...] = (
    ("banking", "SetFit 1.2, frozen MiniLM", 2, 33, 1758, 96, 0.930, "", 88, 5.1, 640, 90),
    ("banking", "Ludwig 0.17, cnn, 10 epochs", 1, 10, 6007, 221, 0.862, "", 82, 9.9, 1011, 23),
    ("banking", "AutoGluon 1.6, n-grams, 120 s", 1, 4, 2756, 133, 0.839, "", "", "", "", ""),
    ("banking", "MLflow 3.17", 1, 21, 851, 19, 0.894, "", 29, 4.0, 479, 917),
    ("hotel", "SetFit 1.2, frozen MiniLM (English)", 2, 33, 1758, 116, 0.757, "", 88, 4.9, 667, 81),
    ("hotel", "Ludwig 0.17, char cnn, 5 epochs", 1, 12, 6007, 198, 0.868, "", 70, 12.2, 1020, 33),
    ("hotel", "MLflow 3.17", 1, 21, 851, 17, 0.901, "", 74, 4.8, 530, 954),
    ("credit", "Ludwig 0.17", 1, 46, 6007, 61, 0.735, 0.691, 13, 9.9, 984, 30),
    ("credit", "MLflow 3.17", 1, 29, 851, 5.9, 0.755, 0.728, "<1", 3.8, 439, 93),
    ("credit", "PyCaret 3.3", 1, 14, 1110, 16, 0.730, 0.727, 0.04, 1.8, 249, 5.2),
)


def rows(job: str) -> list[dict[str, Any]]:
    return [{**dict(zip(_COLUMNS, row, strict=True)), "source": "quoted, other run"} for row in _ROWS if row[0] == job]

"""One part for each of Trunkline's doors; `pyproject.toml` beside it names them as entry points."""

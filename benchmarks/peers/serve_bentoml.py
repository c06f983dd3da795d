"""BentoML with an API a product in one service: bentoml serve serve_bentoml:Products, products below $PRODUCTS.

As its documentation has it: several models in one Service, $WORKERS workers (its advice for processors: a core
each; its default: one), batchable=True for adaptive batching with its limits as they come.
"""

# mypy: ignore-errors
import os
from pathlib import Path

import bentoml
from model import Model

FOLDERS = sorted(Path(os.environ["PRODUCTS"]).iterdir())


def _load(self):
    self.models = {folder.name: Model(folder) for folder in FOLDERS}


def _api(name):
    def predict(self, texts: list[str]) -> list[dict]:
        return self.models[name].answers(texts)

    predict.__name__ = name
    return bentoml.api(predict, batchable=True)


apis = {folder.name: _api(folder.name) for folder in FOLDERS}
Products = bentoml.service(
    type("Products", (), {"__init__": _load, **apis}),
    workers=int(os.environ["WORKERS"]),
    logging={"access": {"enabled": False}},
)

"""One product by itself, as servers that share nothing hold it: its own encoder, tokenizer and head.

In an environment that has our package: model.py TRUNK < texts.json > vectors.json
"""

# mypy: ignore-errors
import json
import sys
from pathlib import Path

from trunkline.serve.answer import predict
from trunkline.serve.catalog import ready
from trunkline.shelf import Shelf
from trunkline.trunks import find
from trunkline.types import Call


class Model:
    """The live bundle of a product folder; `answers` is thread-safe and gives what our server gives."""

    def __init__(self, folder):
        shelf = Shelf(Path(folder))
        self._served = ready(shelf.open(shelf.live()))
        (trunk,) = self._served.bundle.manifest.trunks
        self._encoder = find(trunk.id).load()

    def answers(self, texts):
        return predict(self._served, [{"text": text} for text in texts], self._ask)

    def _ask(self, calls):
        return [self._encoder.run(call) for call in calls]


if __name__ == "__main__":
    encoder = find(sys.argv[1]).load()
    vectors = encoder.run(Call(f"trunk:{sys.argv[1]}", json.load(sys.stdin)))
    json.dump(vectors.tolist(), sys.stdout)

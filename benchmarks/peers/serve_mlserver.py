"""MLServer's runtime of a product; a model-settings.json each names it (`stacks._mlserver`). mlserver start FOLDER."""

# mypy: ignore-errors
import json
from typing import List  # noqa: UP035 - MLServer finds no codec for list[str]

from mlserver import MLModel
from mlserver.codecs import decode_args
from model import Model


class Product(MLModel):
    async def load(self) -> bool:
        self._model = Model(self.settings.parameters.uri)
        return True

    @decode_args
    async def predict(self, texts: List[str]) -> List[str]:  # noqa: UP006
        return [json.dumps(answer) for answer in self._model.answers(texts)]

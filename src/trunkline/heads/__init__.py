"""The head door: what a method leaves behind. Serving side: numpy and engines only."""

from trunkline.registry import Door
from trunkline.types import Head

HEADS: Door[type[Head]] = Door(
    "head",
    {
        "linear": "trunkline.heads.linear:LinearHead",
        "neighbours": "trunkline.heads.neighbours:NeighboursHead",
        "mlp": "trunkline.heads.mlp:MlpHead",
        "trees": "trunkline.heads.trees:TreesHead",
        "table_linear": "trunkline.heads.table_linear:TableLinearHead",
        "blend": "trunkline.heads.blend:BlendHead",
        "onnx": "trunkline.heads.onnx:OnnxHead",
        "no_spans": "trunkline.heads.no_spans:NoSpansHead",
        "token_linear": "trunkline.heads.token_linear:TokenLinearHead",
        "span_linear": "trunkline.heads.span_linear:SpanLinearHead",
        "best_sentence": "trunkline.heads.best_sentence:BestSentenceHead",
        "dictionary": "trunkline.heads.dictionary:DictionaryHead",
        "constant": "trunkline.heads.constant:ConstantHead",
    },
)

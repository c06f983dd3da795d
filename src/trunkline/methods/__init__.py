"""The method door: ways to learn a head. Training side only; one method a file."""

from trunkline.registry import Door
from trunkline.types import Method

METHODS: Door[type[Method]] = Door(
    "method",
    {
        "linear": "trunkline.methods.linear:Linear",
        "fused": "trunkline.methods.fused:Fused",
        "ngrams": "trunkline.methods.ngrams:Ngrams",
        "prototype": "trunkline.methods.prototype:Prototype",
        "knn": "trunkline.methods.knn:Knn",
        "mlp": "trunkline.methods.mlp:Mlp",
        "boosting": "trunkline.methods.boosting:Boosting",
        "tabular": "trunkline.methods.tabular:Tabular",
        "blend": "trunkline.methods.blend:Blend",
        "table_mlp": "trunkline.methods.table_mlp:TableMlp",
        "lstm": "trunkline.methods.text_networks:Lstm",
        "cnn1d": "trunkline.methods.text_networks:Cnn1d",
        "transformer": "trunkline.methods.text_networks:Transformer",
        "cnn": "trunkline.methods.cnn:Cnn",
        "finetune": "trunkline.methods.adapt:Finetune",
        "lora": "trunkline.methods.adapt:Lora",
        "contrastive": "trunkline.methods.contrastive:Contrastive",
        "onnx": "trunkline.methods.onnx:Onnx",
        "token_linear": "trunkline.methods.token_linear:TokenLinear",
        "span_linear": "trunkline.methods.span_linear:SpanLinear",
        "best_sentence": "trunkline.methods.best_sentence:BestSentence",
        "dictionary": "trunkline.methods.dictionary:Dictionary",
        "majority": "trunkline.methods.majority:Majority",
    },
)

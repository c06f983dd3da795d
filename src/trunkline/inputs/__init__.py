"""The input-kind door: how one column is read, keyed and described. One kind a file."""

from trunkline.registry import Door
from trunkline.types import InputKind

KINDS: Door[type[InputKind]] = Door(
    "kind",
    {
        "text": "trunkline.inputs.text:Text",
        "number": "trunkline.inputs.number:Number",
        "category": "trunkline.inputs.category:Category",
        "date": "trunkline.inputs.date:Date",
        "bool": "trunkline.inputs.boolean:Boolean",
        "image": "trunkline.inputs.image:Image",
        "audio": "trunkline.inputs.audio:Audio",
    },
)

"""The task door: the question answered. One task a file."""

from trunkline.registry import Door
from trunkline.types import Task

TASKS: Door[type[Task]] = Door(
    "task",
    {
        "classify": "trunkline.tasks.classify:Classify",
        "multilabel": "trunkline.tasks.multilabel:Multilabel",
        "regress": "trunkline.tasks.regress:Regress",
        "extract": "trunkline.tasks.extract:Extract",
        "tag": "trunkline.tasks.tag:Tag",
    },
)

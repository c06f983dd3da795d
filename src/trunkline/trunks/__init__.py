"""The trunk door: the one place where weights are found, verified, converted. One family a file."""

from trunkline.registry import Door
from trunkline.types import Trunk

TRUNKS: Door[type[Trunk]] = Door(
    "trunk",
    {
        "e5-small": "trunkline.trunks.e5:E5Small",
        "use-multilingual": "trunkline.trunks.use:UseMultilingual",
        "minilm": "trunkline.trunks.minilm:MiniLM",
        "hash": "trunkline.trunks.hash:HashTrunk",
    },
)

"""The trunk door: the one place where weights are found, verified, converted. One family a file."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

from trunkline.errors import TrunkError
from trunkline.registry import Door
from trunkline.types import Trunk

TRUNKS: Door[type[Trunk]] = Door(
    "trunk",
    {
        "e5-small": "trunkline.trunks.e5:E5Small",
        "e5-small-f32": "trunkline.trunks.e5:E5SmallF32",
        "use-multilingual": "trunkline.trunks.use:UseMultilingual",
        "minilm": "trunkline.trunks.minilm:MiniLM",
        "efficientnet-lite0": "trunkline.trunks.efficientnet:EfficientNetLite0",
        "resemblyzer": "trunkline.trunks.resemblyzer:Resemblyzer",
        "hash": "trunkline.trunks.hash:HashTrunk",
    },
)

LEARNED = "trunk.json"  # in the folder of a trunk that was learned on from another


def find(name: str) -> Trunk:
    """The trunk called `name`: one of the door's, or "hf:<hub id>" or "folder:<path>"; "e5-small@256" reads 256 tokens.

    Opens no weights; of the latter two, config.json says which kind they are. Raises TrunklineError with the nearest
    known name.
    """
    if name.startswith("folder:") and (folder := Path(name.removeprefix("folder:")).expanduser() / LEARNED).is_file():
        from trunkline.trunks.learned import LearnedTrunk

        return LearnedTrunk(name, folder.parent)
    if name.startswith(("hf:", "folder:")):
        from trunkline.trunks.hub import hub_trunk

        return hub_trunk(name)
    family, mark, limit = name.partition("@")
    if not mark:
        return TRUNKS.get(name)()
    made = TRUNKS.get(family)
    if not limit.isdigit() or "max_tokens" not in signature(made).parameters:
        raise TrunkError("a trunk can't be had at this length", found=name, wanted="its name alone, or e5-small@256, e5-small-f32@256")
    return made(int(limit))  # type: ignore[call-arg]

"""The command `trunkline`. Anything printed and any exit code is in `commands/`."""

from __future__ import annotations

from trunkline.commands import (
    demo,
    deploy,
    encode,
    export,
    keys,
    make,
    predict,
    pretrain,
    queue,
    serve,
    shrink,
    train,
    trunks,
    tune,
    why,
)
from trunkline.commands.group import main

# Imported, each of these has added its commands to the group.
PARTS = (demo, deploy, encode, export, keys, make, predict, pretrain, queue, serve, shrink, train, trunks, tune, why)

__all__ = ["PARTS", "main"]

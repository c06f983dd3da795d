"""How a network is learned: the part of [method.settings] that every network shares."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, lt=1)]
Above = Annotated[float, Meta(gt=0)]
Least = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]

LOSSES = {  # that may learn a task's answers; of two classes or more is known only from the rows
    "classify": ("auto", "cross_entropy", "binary", "focal"), "multilabel": ("auto", "binary", "focal"),
    "regress": ("auto", "mse", "huber"), "tag": ("auto", "cross_entropy", "focal"),
}  # fmt: skip


class LoopSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every network's settings are these and its own.

    loss: auto = cross_entropy for classes, binary for independent labels, mse for numbers. l2: decoupled weight decay
    for adamw, else added to the gradient. warmup: share of all steps. average: decay of the moving average of
    weights, 0 = none. patience: epochs without a better validation loss before the end, 0 = never stop early.
    """

    epochs: Count = 10
    batch: Count = 64
    rate: Above = 1e-3
    optimiser: Literal["sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw"] = "adamw"
    momentum: Share = 0.9
    l1: Least = 0.0
    l2: Least = 0.01
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Share = 0.1
    clip: Least = 1.0  # largest length of the gradient; 0 = as it comes
    accumulate: Count = 1  # parts in which a batch goes through, to save memory
    loss: Literal["auto", "cross_entropy", "focal", "mse", "huber", "binary"] = "auto"
    smoothing: Share = 0.0  # of labels
    focal: Least = 2.0  # gamma
    delta: Above = 1.0  # huber's
    balance: bool = False  # classes weigh the same, however many rows they have
    average: Share = 0.0
    patience: Annotated[int, Meta(ge=0)] = 3
    validation: Annotated[float, Meta(gt=0, le=0.5)] = 0.1  # share of the training rows that early stopping looks at
    precision: Literal["auto", "float32"] = "auto"  # auto: 16 bits on a GPU, and where a trunk is adapted on a processor with AMX; weights stay 32
    compile: bool = False  # torch.compile: a minute or so first, then faster steps, mostly on a GPU; wants a C++ compiler
    tracker: Literal["none", "tensorboard", "wandb"] = "none"
    tracker_folder: str = "runs"

"""Trunkline: many AI products on one shared pretrained model.

>>> import trunkline
>>> product = trunkline.Product("support")      # a folder with a product.toml
>>> product.train()                             # doctest: +SKIP

Importing this package is light: numpy, the web stack and the training libraries load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trunkline.engines.threads import limit_blas

if TYPE_CHECKING:
    from trunkline.bundle import Bundle as Bundle
    from trunkline.client import AsyncClient as AsyncClient
    from trunkline.client import Client as Client
    from trunkline.errors import TrunklineError as TrunklineError
    from trunkline.product import Product as Product

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Bundle", "Client", "Product", "TrunklineError", "__version__"]

limit_blas()  # before anything here imports numpy: spinning BLAS threads more than halve the speed

_HOMES = {
    "AsyncClient": "trunkline.client",
    "Bundle": "trunkline.bundle",
    "Client": "trunkline.client",
    "Product": "trunkline.product",
    "TrunklineError": "trunkline.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trunkline' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

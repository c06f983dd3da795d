"""Does the runtime of a phone or a browser have every operator of a graph?

Both run ONNX Runtime's own processor kernels: since 1.19 there is one package for phones, with all of them, and
onnxruntime-web compiles the same ones to WebAssembly. So the kernels of the version that is installed here are asked.
"""

from __future__ import annotations

from typing import Any

from trunkline.errors import BundleError, MissingExtra
from trunkline.exporting.graph import Model, onnx_package, operators, opsets

_CPU = "CPUExecutionProvider"
_OWN = "ai.onnx"  # what messages call ONNX's own domain


def check_operators(model: Model, target: str) -> None:
    """Raises BundleError naming every operator that the target's runtime has no kernel for; MissingExtra."""
    kernels, versions, missing = _kernels(), opsets(model), []
    for domain, names in operators(model).items():
        version = versions.get(domain, 1)
        for name in names:
            held = any(first <= version <= last for first, last in kernels.get((domain, name), ()))
            if not held and not _is_made_of_others(name, domain, version):
                missing.append(f"{domain or _OWN}:{name} (opset {version})")
    if missing:
        raise BundleError(
            f"the network has an operator that ONNX Runtime lacks on a {target}", found=", ".join(missing),
            wanted="operators of ONNX Runtime's processor build", hint="replace it in the network, or export that with another opset",
        )  # fmt: skip


def _kernels() -> dict[tuple[str, str], list[tuple[int, int]]]:
    """(domain, operator) -> ranges of opsets."""
    try:
        from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def
    except ImportError as error:
        raise MissingExtra("onnxruntime", "export") from error
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for kernel in get_all_opkernel_def():
        if kernel.provider == _CPU:
            domain = "" if kernel.domain == _OWN else kernel.domain
            found.setdefault((domain, kernel.op_name), []).append(tuple(kernel.version_range))
    return found


def _is_made_of_others(name: str, domain: str, version: int) -> bool:
    """Whether ONNX defines the operator by others, which the runtime puts in its place; a Constant becomes a weight."""
    if (domain, name) == ("", "Constant"):
        return True
    defs: Any = onnx_package().defs
    try:
        schema = defs.get_schema(name, version, domain)
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)

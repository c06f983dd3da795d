"""What this processor can do, where a trunk's precision depends on it."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

from trunkline.errors import TrunkError


def flags() -> frozenset[str]:
    """Instruction sets of the first core; empty where the system doesn't say (not Linux)."""
    return frozenset(_first_core().get("flags", "").split())


def model() -> str:
    """The processor's name; its architecture where the system doesn't say."""
    return _first_core().get("model name") or platform.processor() or platform.machine()


def kind() -> str:
    """Names processors that may compute differently: architecture and instruction sets, hex."""
    return hashlib.sha256("\0".join([platform.machine(), *sorted(flags())]).encode()).hexdigest()[:16]


def multiplies_bf16() -> bool:
    """Has it AMX for bfloat16? Fine-tuning e5-small takes 0.6 of the time with it (30.5 rows/s for 18.7)."""
    return "amx_bf16" in flags()


@cache
def _first_core() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def groups_of_int8() -> bool | None:
    """Can OpenVINO multiply int8 groups here? None if that's only known after trying.

    Measured: AVX-512 with and without VNNI (bit-equal vectors). AVX-VNNI without AVX-512 is let
    through to the probe at load. Plain AVX2 is refused; ARM is not known.
    """
    if platform.machine().lower() not in ("x86_64", "amd64") or not flags():
        return None
    return bool(flags() & {"avx512bw", "avx_vnni"})


def need_precision(precision: str, owner: str) -> None:
    """Raises TrunkError where this processor is known not to compute in `engines.openvino.PRECISIONS[precision]`:
    without bfloat16 OpenVINO would silently use 32 bits, and the same bundle would answer otherwise."""
    if precision.startswith("w8"):
        need_groups_of_int8(owner)
    if precision == "bf16" and not flags() & {"avx512_bf16", "amx_bf16"}:
        raise TrunkError(
            f"this processor lacks the instructions of {owner}'s precision", found="neither AVX-512 BF16 nor AMX",
            hint="trunkline shrink here, for a precision that this processor has",
        )  # fmt: skip


def need_groups_of_int8(trunk: str) -> None:
    """Raises TrunkError where int8 groups are known not to work, before OpenVINO tries: with AVX2
    emulated it gave an error, an empty array or a crash, as it happened."""
    if groups_of_int8() is False:
        raise TrunkError(
            f"this processor lacks the instructions of {trunk}'s precision",
            found="neither AVX-512 nor AVX-VNNI",
            hint='name another trunk, [trunks] text = "e5-small-f32"',
        )

"""What this processor can do, where a trunk's precision depends on it."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

from trunkline.errors import TrunkError


@cache
def flags() -> frozenset[str]:
    """Instruction sets of the first core; empty where the system doesn't say (not Linux)."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("flags"):
                return frozenset(line.split(":", 1)[1].split())
    except OSError:
        pass
    return frozenset()


def groups_of_int8() -> bool | None:
    """Can OpenVINO multiply int8 groups here? None if that's only known after trying.

    Measured: AVX-512 with and without VNNI (bit-equal vectors). AVX-VNNI without AVX-512 is let
    through to the probe at load. Plain AVX2 is refused; ARM is not known.
    """
    if platform.machine().lower() not in ("x86_64", "amd64") or not flags():
        return None
    return bool(flags() & {"avx512bw", "avx_vnni"})


def need_groups_of_int8(trunk: str) -> None:
    """Raises TrunkError where int8 groups are known not to work, before OpenVINO tries: with AVX2
    emulated it gave an error, an empty array or a crash, as it happened."""
    if groups_of_int8() is False:
        raise TrunkError(
            f"this processor lacks the instructions of {trunk}'s precision",
            found="neither AVX-512 nor AVX-VNNI",
            hint='name another trunk, [trunks] text = "e5-small-f32"',
        )

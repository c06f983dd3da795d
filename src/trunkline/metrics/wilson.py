"""The Wilson interval of a share: honest for few rows and at both ends."""

from __future__ import annotations

import math
from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)


def wilson(share: float, n: float, z: float = Z) -> tuple[float, float]:
    """Wilson 1927 score interval of a share over n (may be fractional: an effective size)."""
    if n <= 0:
        return 0.0, 1.0
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))

from __future__ import annotations

import numpy as np
import pytest

from trunkline.errors import BundleError
from trunkline.heads.constant import ConstantHead
from trunkline.program import one


@pytest.mark.parametrize(("values", "shape"), [([0.25, 0.75], (3, 2)), (4.5, (3,))])
def test_every_row_gets_the_same(values: float | list[float], shape: tuple[int, ...]) -> None:
    head = ConstantHead(np.array(values))
    meta, arrays = head.save()
    for each in (head, ConstantHead.load(meta, arrays)):
        found = one(each.run([{}, {}, {}]), lambda calls: [])
        assert found.values.shape == shape
        assert (found.values == np.array(values)).all()


def test_no_values_are_refused() -> None:
    with pytest.raises(BundleError):
        ConstantHead.load({"number": False}, {"values": np.empty(0)})
    with pytest.raises(BundleError):
        ConstantHead.load({"number": True}, {"values": np.ones(2)})

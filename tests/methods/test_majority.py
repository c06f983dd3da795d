from __future__ import annotations

import numpy as np
import pytest
from tests.methods.texts import examples, spec_of

from trunkline.methods.majority import Majority
from trunkline.program import one
from trunkline.types import Candidate


def learn(task: str) -> Candidate:
    known = examples(task)
    return Majority().fit(spec_of(task), known, np.arange(len(known)) % 5, lambda calls: [])


def test_shares_of_classes_and_labels() -> None:
    for task in ("classify", "multilabel"):
        candidate = learn(task)
        found = one(candidate.head.run([{}]), lambda calls: []).values[0]
        known = examples(task)
        shares = known.target.mean(axis=0) if task == "multilabel" else np.bincount(known.target) / len(known)
        assert found.tolist() == pytest.approx(shares.tolist(), abs=0.02)


def test_numbers_get_the_median_of_the_other_folds() -> None:
    candidate, known = learn("regress"), examples("regress")
    assert float(one(candidate.head.run([{}]), lambda calls: []).values[0]) == np.median(known.target)
    assert candidate.out_of_fold.values[0] == np.median(known.target[np.arange(len(known)) % 5 != 0])

"""Class probabilities of a trained peer for test.csv, as JSON; not part of what a founder writes.

In the job's folder, in the peer's venv: answers.py TEXT_COLUMN|- LABEL_COLUMN > file
"""

# mypy: ignore-errors
import json
import sys
from pathlib import Path

import pandas as pd

TEXT, LABEL = sys.argv[1:]
rows = pd.read_csv("test.csv").drop(columns=LABEL)
inputs = rows if TEXT == "-" else rows[TEXT]
if Path("model.joblib").exists():
    import joblib

    model = joblib.load("model.joblib")
    labels, scores = model.classes_, model.predict_proba(inputs)
else:
    from autogluon.tabular import TabularPredictor

    found = TabularPredictor.load("model").predict_proba(inputs)
    labels, scores = found.columns, found.to_numpy()
json.dump({"labels": [str(label) for label in labels], "scores": scores.round(9).tolist()}, sys.stdout)

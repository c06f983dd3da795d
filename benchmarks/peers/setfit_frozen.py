"""SetFit's frozen road: encode, then its logistic head. In the job's folder, in the peer's venv:

setfit_frozen.py ENCODER_FOLDER TEXT_COLUMN LABEL_COLUMN C
"""

# mypy: ignore-errors
import sys

import pandas as pd
from setfit import SetFitModel
from sklearn.metrics import accuracy_score

ENCODER, TEXT, LABEL, C = sys.argv[1:]
train, test = pd.read_csv("train.csv", dtype={LABEL: str}), pd.read_csv("test.csv", dtype={LABEL: str})
model = SetFitModel.from_pretrained(ENCODER, head_params={"C": float(C), "max_iter": 1000})
model.fit(("query: " + train[TEXT]).tolist(), train[LABEL].tolist(), num_epochs=1)
answers = model.predict(("query: " + test[TEXT]).tolist())
print("accuracy", accuracy_score(test[LABEL], answers))
pd.Series(list(answers)).to_json("answers.json", orient="values")
model.save_pretrained("model")

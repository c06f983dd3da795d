"""German credit with AutoGluon's medium preset. In the job's folder, in the peer's venv."""

# mypy: ignore-errors
import pandas as pd
from autogluon.tabular import TabularPredictor

train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
predictor = TabularPredictor(label="risk", path="model")
predictor.fit(train, presets="medium_quality")
print(predictor.evaluate(test))

"""AutoGluon's test probabilities for a table. In the peer's venv:

python autogluon_scores.py TRAIN.csv TEST.csv LABEL COLUMNS(comma-separated) LIMIT_S OUT_FOLDER
"""

# mypy: ignore-errors
import json
import sys
import time
from importlib.metadata import version

import pandas as pd
from autogluon.tabular import TabularPredictor

train, test, label, columns, limit, out = sys.argv[1:]
names = columns.split(",")
rows, asked = pd.read_csv(train)[[*names, label]], pd.read_csv(test)[names]
began = time.perf_counter()
predictor = TabularPredictor(label=label, path=f"{out}/model", verbosity=1)
predictor.fit(rows, presets="medium_quality", time_limit=float(limit), num_cpus=1)
seconds = time.perf_counter() - began
predictor.predict_proba(asked).to_csv(f"{out}/scores.csv", index=False)
with open(f"{out}/run.json", "w") as file:
    json.dump({"seconds": seconds, "best": predictor.model_best, "version": version("autogluon.tabular")}, file)

"""SetFit's frozen road on many draws of the same rows: every text through its encoder once, then its logistic
head for each draw and each C - what its `fit` and `predict` do, without encoding a text twice.

In the peer's venv: setfit_heads.py ENCODER_FOLDER ASKED.json TOLD.json; one thread.
"""

# mypy: ignore-errors
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from setfit import SetFitModel

ENCODER, ASKED, TOLD = sys.argv[1:]
torch.set_num_threads(1)
asked = json.loads(Path(ASKED).read_text(encoding="utf-8"))
model = SetFitModel.from_pretrained(ENCODER)
began = time.perf_counter()
train, test = (model.encode(["query: " + text for text in asked[part]]) for part in ("train", "test"))
told = {"encode s": time.perf_counter() - began, "draws": []}
known = np.array(asked["known"])
for draw in asked["draws"]:
    answers = {}
    for c in asked["C"]:
        began = time.perf_counter()
        head = model.model_head.set_params(C=float(c), max_iter=1000).fit(train[draw], known[draw])
        answers[c] = {"s": time.perf_counter() - began, "said": head.predict(test).tolist()}
    told["draws"].append(answers)
Path(TOLD).write_text(json.dumps(told), encoding="utf-8")

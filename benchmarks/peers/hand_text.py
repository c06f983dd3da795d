"""Banking77 and the hotel reviews as a founder writes them today, training half.

In the job's folder, in the peer's own venv: hand_text.py TEXT_COLUMN LABEL_COLUMN word|char
"""

# mypy: ignore-errors
import sys

import joblib
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline

TEXT, LABEL, ANALYZER = sys.argv[1:]
train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
model = make_pipeline(
    TfidfVectorizer(analyzer=ANALYZER, ngram_range=(1, 2), sublinear_tf=True),
    LogisticRegression(C=10, max_iter=1000),
)
model.fit(train[TEXT], train[LABEL])
print("accuracy", accuracy_score(test[LABEL], model.predict(test[TEXT])))
joblib.dump(model, "model.joblib")

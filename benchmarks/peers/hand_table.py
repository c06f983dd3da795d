"""German credit as a founder writes it today, training half. In the job's folder, in the peer's venv."""

# mypy: ignore-errors
import joblib
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

LABEL = "risk"
NUMBERS = [
    "duration_months",
    "credit_amount",
    "installment_rate_pct",
    "residence_since",
    "age",
    "existing_credits",
    "dependents",
]
train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
categories = [name for name in train.columns if name not in (*NUMBERS, LABEL)]
model = make_pipeline(
    ColumnTransformer(
        [("numbers", StandardScaler(), NUMBERS), ("others", OneHotEncoder(handle_unknown="ignore"), categories)]
    ),
    LogisticRegression(max_iter=2000),
)
model.fit(train.drop(columns=LABEL), train[LABEL])
inputs = test.drop(columns=LABEL)
print("accuracy", accuracy_score(test[LABEL], model.predict(inputs)))
print("AUROC", roc_auc_score(test[LABEL] == model.classes_[1], model.predict_proba(inputs)[:, 1]))
joblib.dump(model, "model.joblib")

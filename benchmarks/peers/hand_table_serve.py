"""The serving half of hand_table.py: uvicorn hand_table_serve:app, in the job's folder."""

# mypy: ignore-errors
import joblib
import pandas as pd
from credit_row import Row
from fastapi import FastAPI

app = FastAPI()
model = joblib.load("model.joblib")


@app.post("/predict")
async def predict(row: Row):
    scores = model.predict_proba(pd.DataFrame([row.model_dump()]))[0]
    best = scores.argmax()
    return {"label": str(model.classes_[best]), "score": float(scores[best])}

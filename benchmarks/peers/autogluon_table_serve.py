"""The serving half of autogluon_table.py: uvicorn autogluon_table_serve:app, in the job's folder."""

# mypy: ignore-errors
import pandas as pd
from autogluon.tabular import TabularPredictor
from credit_row import Row
from fastapi import FastAPI

app = FastAPI()
predictor = TabularPredictor.load("model")


@app.post("/predict")
async def predict(row: Row):
    scores = predictor.predict_proba(pd.DataFrame([row.model_dump()])).iloc[0]
    return {"label": str(scores.idxmax()), "score": float(scores.max())}

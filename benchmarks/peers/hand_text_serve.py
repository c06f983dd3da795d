"""The serving half of hand_text.py: uvicorn hand_text_serve:app, in the job's folder."""

# mypy: ignore-errors
import joblib
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load("model.joblib")


class Row(BaseModel):
    text: str


@app.post("/predict")
async def predict(row: Row):
    scores = model.predict_proba([row.text])[0]
    best = scores.argmax()
    return {"label": str(model.classes_[best]), "score": float(scores[best])}

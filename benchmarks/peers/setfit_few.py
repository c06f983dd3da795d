"""SetFit itself: pairs, its encoder learned by cosine similarity, its logistic head - by its documented defaults but for
the pairs (num_iterations=20 a text, as its paper has it) and a limit of steps.

In the peer's venv: setfit_few.py ENCODER_FOLDER ASKED.json TOLD.json
"""

# mypy: ignore-errors
import json
import sys
import time
from pathlib import Path

import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments

ENCODER, ASKED, TOLD = sys.argv[1:]
asked = json.loads(Path(ASKED).read_text(encoding="utf-8"))
torch.set_num_threads(asked["threads"])
model = SetFitModel.from_pretrained(ENCODER)
settings = TrainingArguments(
    batch_size=16, num_epochs=1, num_iterations=20, max_steps=asked["steps"], seed=asked["seed"], report_to="none",
    save_strategy="no", logging_steps=50, output_dir=str(Path(TOLD).parent / "setfit-few"),
)  # fmt: skip
trainer = Trainer(model=model, args=settings, train_dataset=Dataset.from_dict(asked["train"]))
began, processor = time.perf_counter(), time.process_time()
trainer.train()
seconds, cpu = time.perf_counter() - began, time.process_time() - processor
said = [int(label) for label in model.predict(asked["test"])]
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
told = {"said": said, "seconds": seconds, "processor_s": cpu, "peak_mb": int(peak.split()[1]) / 1e3, "texts": 32 * asked["steps"]}
Path(TOLD).write_text(json.dumps(told), encoding="utf-8")

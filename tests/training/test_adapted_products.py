"""A product that adapts its trunk: from rows to a bundle that answers without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("peft", reason="peft is not installed")

from starlette.testclient import TestClient
from tests.berts import bert_folder, write
from tests.methods.texts import spec_of
from tests.products import write_rows

from trunkline.desk import Desk
from trunkline.errors import BundleError
from trunkline.heads import HEADS
from trunkline.methods import METHODS, ladder
from trunkline.methods.adapt import Finetune, FinetuneSettings, Lora, LoraSettings
from trunkline.metrics.spans import span_f1
from trunkline.product import Product
from trunkline.program import one
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.spec import Spec
from trunkline.tasks import TASKS
from trunkline.trunks.adapted import Adapted, adapted
from trunkline.types import Ask, Candidate, Examples, Refused, Span

QUICK = {"epochs": 12, "batch": 8, "rate": 0.006, "folds": 2, "dropout": 0.0, "patience": 0}
SUBJECTS = {"card": "my card is lost", "fee": "why this fee", "cash": "no cash came out"}
TAILS = ("please", "again", "help", "today", "since monday", "thanks")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"folder:{bert_folder(tmp_path_factory.mktemp('bert'))}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))


def spec_for(method: str, task: str, base: str, **more: Any) -> Spec:
    inputs = {"text": "text"}
    return spec_of(task, inputs, method={"name": method, "settings": {**QUICK, **more}}, trunks={"text": base})


def said(task: str = "classify", n: int = 120) -> Examples:
    """Texts about three subjects; for `tag` the subject's word is a span."""
    rng = np.random.default_rng(0)
    names, subject = list(SUBJECTS), rng.permutation(np.arange(n) % 3)
    texts = [f"{SUBJECTS[names[s]]} {TAILS[int(rng.integers(6))]} {i}" for i, s in enumerate(subject.tolist())]
    target: Any = subject.astype(np.int64)
    if task == "multilabel":
        target = np.column_stack([subject == 0, subject > 0])
    if task == "regress":
        target = 1000.0 * subject
    if task == "tag":
        target = np.empty(n, object)
        starts = [text.index(names[s]) for text, s in zip(texts, subject.tolist(), strict=True)]
        target[:] = [(Span(start, start + len(names[s]), s),) for start, s in zip(starts, subject.tolist(), strict=True)]
    labels = {"regress": (), "multilabel": ("card", "other")}.get(task, tuple(names))
    return Examples([{"text": text} for text in texts], target, labels, [t.encode() for t in texts], np.arange(n))


def no_trunk(calls: Any) -> Any:
    raise AssertionError("no trunk is asked")


def made(method: str, task: str, base: str, **more: Any) -> tuple[Examples, Candidate]:
    known, spec = said(task), spec_for(method, task, base, **more)
    part = METHODS.get(method)()
    assert part.can(spec, known) is None
    return known, part.fit(spec, known, TASKS.get(task)().folds(known, 5, 0), no_trunk)


def ask_of(candidate: Candidate) -> Ask:
    engines = {name: own.load() for name, own in candidate.networks.items()}
    return lambda calls: [engines[call.engine].run(call) for call in calls]


@pytest.mark.parametrize("method", ["finetune", "lora"])
@pytest.mark.parametrize("task", ["classify", "multilabel", "regress", "tag"])
def test_every_task_is_learned_and_answered_without_torch(method: str, task: str, base: str) -> None:
    known, found = made(method, task, base, **({"epochs": 2} if task in ("multilabel", "regress") else {}))
    ask = ask_of(found)
    values = one(found.head.run(known.inputs), ask).values
    assert found.out_of_fold.values.shape == values.shape
    if task == "classify":
        assert (values.argmax(1) == known.target).mean() > 0.9
        assert (found.out_of_fold.values.argmax(1) == known.target).mean() > 0.8
    if task == "tag":
        assert span_f1(known.target, values) > 0.9
        assert span_f1(known.target, found.out_of_fold.values) > 0.8
    assert found.settings["cosine"] > 0.999
    assert len(found.settings["curve"]) > 1
    own = found.networks["own:net"]
    assert isinstance(own, Adapted)
    assert own.about.kind == ("lora" if method == "lora" else "full")
    again = HEADS.get(found.head.format).load(*found.head.save())
    saved = one(again.run(known.inputs), ask).values
    assert [repr(value) for value in saved.tolist()] == [repr(value) for value in values.tolist()]
    alone = [one(again.run([row]), ask).values[0] for row in known.inputs[:9]]
    assert [repr(value) for value in alone] == [repr(value) for value in saved[:9]]


def test_the_tags_that_are_served_are_those_that_were_learned(base: str) -> None:
    """PyTorch's scores and the head's on the engine's tokens: long texts in windows, too."""
    import torch

    spec, known = spec_for("finetune", "tag", base), said("tag")
    part, settings = Finetune(), FinetuneSettings(precision="float32")
    rows = [{"text": f"{row['text']} {'and more of it ' * 30}"} for row in known.inputs[:6]]
    own = Examples([*rows, {"text": "房间"}, {"text": ""}], known.target[:8], known.labels, known.keys[:8], np.arange(8))
    material = part.material(spec, own, no_trunk, settings)
    learn = part.learning(spec, own, settings, material)
    torch.manual_seed(0)
    module = material.build(learn.outputs).eval()
    with torch.no_grad():
        module.out.weight.mul_(8)  # what isn't learned hardly prefers a tag
    module.out.half().float()  # as the head stores it
    head, own_net, _ = part.left(learn, module)
    engine = own_net.load()
    said_here = learn.values(module, np.arange(8))
    served = one(head.run(own.inputs), lambda calls: [engine.run(call) for call in calls]).values
    for mine, theirs in zip(said_here, served.tolist(), strict=True):
        assert [span[:3] for span in mine] == [span[:3] for span in theirs]
        assert [span.score for span in mine] == pytest.approx([span.score for span in theirs], abs=1e-3)
    assert any(len(spans) for spans in served)


def test_learning_twice_gives_the_same_file(base: str) -> None:
    one_net, other = (made("lora", "classify", base, epochs=1)[1].networks["own:net"] for _ in range(2))
    assert one_net.card.id == other.card.id


def test_only_what_learns_is_in_a_checkpoint(base: str) -> None:
    import torch

    spec, known = spec_for("lora", "classify", base), said()
    material = Lora().material(spec, known, no_trunk, LoraSettings(rank=2))
    module = material.build(3)
    assert {name.split(".")[0] for name in module.state_dict()} == {"encoder", "out"}
    assert all("lora_" in name or name.startswith("out.") for name in module.state_dict())
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.add_(1)
    module.load_state_dict(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"inputs": {"text": "text", "note": "text"}}, "one column of kind text"),
        ({"trunks": {"text": "use-multilingual"}}, "can't be learned further"),
        ({"trunks": {"text": "none"}}, "needs a text trunk"),
        ({"method": {"name": "auto"}}, "only a product that names it"),
        ({"task": "extract", "inputs": {"question": "text", "context": "text"}}, "not extract"),
    ],
)
def test_what_it_can_not_do_it_says(spec: dict[str, Any], why: str) -> None:
    given = spec_of(**{"task": "classify", "inputs": {"text": "text"}, "method": {"name": "lora"}, **spec})
    refused = Lora().can(given, said())
    assert isinstance(refused, Refused)
    assert why in refused.message


def test_from_rows_to_answers_over_http(base: str, tmp_path: Path) -> None:
    (folder := tmp_path / "help").mkdir()
    write_rows(folder / "train.csv", ["text", "label"], [[row["text"], said().labels[s]] for row, s in zip(said().inputs, said().target, strict=True)])
    settings = "".join(f"{name} = {value}\n" for name, value in QUICK.items())
    (folder / "product.toml").write_text(
        f'name = "help"\ntask = "classify"\nlabel = "label"\n[inputs]\ntext = "text"\n[trunks]\ntext = "{base}"\n'
        f'[method]\nname = "lora"\n[method.settings]\n{settings}[gate]\nrules = ["gain.majority.low > 0"]\n'
    )
    product = Product(folder)
    bundle = product.train()
    assert bundle.manifest.passed
    assert {"own/net/adapted.json", "own/net/weights.safetensors"} <= set(bundle.manifest.files)
    assert bundle.size_bytes < 1_000_000
    assert bundle.report["rungs"][0]["method"] == "lora"
    assert "epochs" in str(bundle.report)
    rows = [{"text": text} for text in ("my card is lost again", "no cash came out today", "why this fee please")]
    wanted = [answer["scores"] for answer in product.predict(rows)]
    product.deploy()
    live = LiveCatalog(tmp_path, budget_bytes=1)  # no engine stays that nobody asks
    with TestClient(build(live), "http://127.0.0.1") as client:
        for _ in range(2):
            answers = client.post("/v1/products/help/predict", json={"rows": rows}).json()["answers"]
            assert [answer["scores"] for answer in answers] == wanted
        assert bundle.networks["net"].card.id in client.get("/metrics").text
        client.post("/v1/products/help/predict", json={"rows": [{"text": "another"}]})
    assert live.engines.evictions > 0


def test_a_bundle_adapted_from_another_trunk_is_refused(base: str, tmp_path: Path) -> None:
    """The folder's weights changed since: its fingerprint is another."""
    place = bert_folder(tmp_path / "bert")
    own = adapted(f"folder:{place}", "full", {}, tmp_path)
    write(place / "config_sentence_transformers.json", {"prompts": {"query": "query: "}, "default_prompt_name": "query"})
    with pytest.raises(BundleError, match="adapted from another"):
        Adapted(own.about, own.weights).load()


def test_auto_climbs_to_an_adapted_trunk_where_it_brings_more(base: str, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a first rung that is easily beaten: frozen vectors of random weights tell these subjects apart too."""
    monkeypatch.setattr(ladder, "TEXT", ("majority",))
    monkeypatch.setattr(ladder, "ADAPT", ("lora", "finetune"))  # `contrastive` would do it too
    monkeypatch.setattr(Lora, "settings", _QuickLora)
    known = said(n=120)
    spec = spec_of("classify", {"text": "text"}, method={"adapt": True}, trunks={"text": base})
    found = ladder.climb(spec, TASKS.get("classify")(), known, Desk().ask())
    frozen, learned, *rest = found.rungs
    assert (frozen.method, learned.method, learned.kept) == ("majority", "lora", True)
    assert learned.gain is not None
    assert learned.gain.low > 0
    assert learned.size_bytes > frozen.size_bytes
    assert [rung.method for rung in rest] == ["finetune"]
    assert found.method in ("lora", "finetune")
    assert found.candidate.networks


class _QuickLora(LoraSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    epochs: int = 12
    batch: int = 8
    rate: float = 0.006
    dropout: float = 0.0
    patience: int = 0

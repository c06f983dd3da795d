"""What goes wrong inside: a head that breaks on a row, engines that don't fit into memory together."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import httpx
from benchmarks.faults.ground import Found, Ground, Running, served
from benchmarks.faults.launcher import WORD, Breaking

from trunkline.bundle import freeze
from trunkline.heads.linear import LinearHead
from trunkline.init import init_from_template
from trunkline.product import Product
from trunkline.shelf import Shelf

PROGRAM = ("-m", "benchmarks.faults.launcher")
CALLS, CALLERS = 60, 6
TRUNKS = ("e5-small", "minilm")
TURNS = 30  # of a caller between the two


def one_row(ground: Ground) -> Found:
    """Calls of five rows of which the middle one breaks the head, beside calls that are whole."""
    folder = breaking(ground, ground.folder / "breaking")
    texts, seen, lock = ground.texts, Counter[str](), threading.Lock()
    assert ground.labels
    wrong: list[str] = []

    def caller(first: int) -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for number in range(first, CALLS * CALLERS, CALLERS):
                five = [texts[(number * 5 + at) % len(texts)] for at in range(5)]
                sent = [f"{text} {WORD}" if at == 2 and number % 2 else text for at, text in enumerate(five)]
                reply = client.post("/v1/products/support/predict", json={"rows": [{"text": text} for text in sent]})
                with lock:
                    note(reply, five, sent)

    def note(reply: httpx.Response, five: list[str], sent: list[str]) -> None:
        if reply.status_code != 200:
            wrong.append(f"{reply.status_code} {reply.text[:200]}")
            return
        for text, row, answer in zip(five, sent, reply.json()["answers"], strict=True):
            broken = WORD in row
            right = answer.get("error") == "broken" if broken else ground.right(text, "v1", answer["label"])
            seen["broken" if broken else "right"] += right
            if not right or "mistake" in str(answer):
                wrong.append(f"{row!r}: {answer}")

    with served(folder, program=PROGRAM) as server:
        threads = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alone = server.ask(WORD)
    if alone.status_code != 500 or WORD in alone.text:
        wrong.append(f"a call of that row alone: {alone.status_code} {alone.text[:200]}")
    return Found(
        f"{CALLS * CALLERS} calls of 5 rows by {CALLERS} callers; in every other one a row on which the head divides by zero",
        f"{seen['right']} rows answered rightly, {seen['broken']} with the error `broken`; a call of that row alone: "
        f"{alone.status_code}, which quotes nothing of it",
        wrong,
    )


def breaking(ground: Ground, home: Path) -> Path:
    """The product with the head that breaks; everything else is as it was learned."""
    bundle, place = ground.bundle, home / "support"
    place.mkdir(parents=True)
    (place / "product.toml").write_bytes((bundle.folder.parents[1] / "product.toml").read_bytes())
    head = bundle.head()
    assert isinstance(head, LinearHead)
    Shelf(place).add(
        lambda at, version: freeze(
            at, spec=bundle.spec, version=version, method=bundle.manifest.method, head=Breaking(head.link, head.bias, head.dense, head.lexical),
            decision=bundle.decision, labels=bundle.labels, trunks=bundle.manifest.trunks, report=bundle.report, html="", card="",
            data=bundle.data, verdict_passed=True,
        )
    )  # fmt: skip
    Shelf(place).set_live("v1")
    return home


def budget(ground: Ground) -> Found:
    """Two products on two trunks that don't fit into the budget together, called in turn by several callers."""
    folder = ground.folder / "budget"
    for trunk in TRUNKS:
        init_from_template(folder / trunk, trunk, "intent")
        file = folder / trunk / "product.toml"
        file.write_text(f'{file.read_text(encoding="utf-8")}\n[trunks]\ntext = "{trunk}"\n', encoding="utf-8")
        Product(folder / trunk).train()
        Shelf(folder / trunk).set_live("v1")
    rows = [{"text": text} for text in ground.texts[:TURNS]]
    wanted = {trunk: [answer["label"] for answer in Product(folder / trunk).predict(rows)] for trunk in TRUNKS}
    with served(folder, program=PROGRAM) as server:
        both(server, wanted, ground, 1)
        whole = server.memory("VmHWM")
    with served(folder, "--budget", "1", program=PROGRAM) as server:
        both(server, wanted, ground, 1)
        found, wrong = both(server, wanted, ground, CALLERS)
        evicted, most = len(server.said("engine evicted")), server.memory("VmHWM")
    if not evicted:
        wrong.append("nothing was evicted")
    return Found(
        f"products on {' and '.join(TRUNKS)}, a memory budget that only the engine in use exceeds, {CALLERS} callers in turn",
        f"{found} of {TURNS * CALLERS} calls answered rightly; {evicted} engines evicted, none while rows waited for it; "
        f"at most {most:.0f} MB ({whole:.0f} with both engines in memory)",
        wrong,
    )


def both(server: Running, wanted: dict[str, list[str]], ground: Ground, callers: int) -> tuple[int, list[str]]:
    """(calls answered rightly, what went wrong): each caller asks the two in turn."""
    right, wrong, lock = Counter[str](), list[str](), threading.Lock()

    def caller(first: int) -> None:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            for number in range(TURNS):
                trunk = TRUNKS[(number + first) % len(TRUNKS)]
                reply = client.post(f"/v1/products/{trunk}/predict", json={"row": {"text": ground.texts[number]}})
                good = reply.status_code == 200 and reply.json()["answers"][0]["label"] == wanted[trunk][number]
                with lock:
                    right["right"] += good
                    if not good:
                        wrong.append(f"{trunk}: {reply.status_code} {reply.text[:200]}")

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return right["right"], wrong

from __future__ import annotations

import numpy as np
import pytest

from trunkline.errors import TrunkError, TrunklineError
from trunkline.trunks import TRUNKS, find, probe
from trunkline.trunks.e5 import E5Small
from trunkline.types import Call, Engine, Refused


def test_cards_tell_who_a_trunk_is_without_opening_it() -> None:
    prints = set()
    for name in TRUNKS.names():
        card = find(name).card
        assert card.id == name
        assert card.licence
        assert card.source
        assert card.dim > 0
        prints.add(card.fingerprint)
    assert len(prints) == len(TRUNKS.names())


def test_another_length_limit_is_another_trunk() -> None:
    assert E5Small(256).card.fingerprint != E5Small().card.fingerprint
    with pytest.raises(TrunkError, match="length limit"):
        E5Small(4000)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(TrunklineError, match="e5-small"):
        find("e5-smal")


def test_vectors(engines: dict[str, Engine]) -> None:
    texts = ["I lost my card", "我的卡丢了", "The weather is fine", ""]
    for name, engine in engines.items():
        found = engine.run(Call(f"trunk:{name}", texts))
        assert found.shape == (4, engine.card.dim)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4) or name == "hash"
        assert engine.run(Call(f"trunk:{name}", [])).shape == (0, engine.card.dim)
        assert all(engine.cost(text) >= 1 for text in texts)


def test_chinese_and_english_meet(engines: dict[str, Engine]) -> None:
    if "e5-small" not in engines:
        pytest.skip("e5-small is not on this machine")
    a, b, c = engines["e5-small"].run(Call("x", ["I lost my card", "我的卡丢了", "今天天气很好"]))
    assert a @ b > a @ c + 0.02


def test_int8_stays_close_to_floats(engines: dict[str, Engine]) -> None:
    if "e5-small" not in engines:
        pytest.skip("e5-small is not on this machine")
    texts = [*probe.TEXTS, "What is the exchange rate?", "服务态度差，不推荐。"]
    exact = engines["e5-small-f32"].run(Call("x", texts))
    assert ((engines["e5-small"].run(Call("x", texts)) * exact).sum(axis=1) > 0.999).all()


def test_long_and_odd_texts(engines: dict[str, Engine]) -> None:
    odd = ["x" * 1_000_000, "很" * 100_000, " " * 10_000, "\u200b\ufeff", "\U0001f600" * 500, "</s><mask><pad>"]
    for engine in engines.values():
        if engine.card.id != "hash":
            assert np.isfinite(engine.run(Call("x", odd))).all()


def test_a_form_that_is_not_there(engines: dict[str, Engine]) -> None:
    with pytest.raises(TrunklineError, match="no form 'generate'"):
        engines["minilm"].run(Call("x", ["a"], "generate"))
    with pytest.raises(TrunklineError, match="no form 'tokens'"):
        engines["use-multilingual"].run(Call("x", ["a"], "tokens"))


def test_a_machine_that_answers_otherwise_says_so(
    engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines["minilm"]
    other = probe.encode(np.eye(2, 384, dtype=np.float32))
    monkeypatch.setattr(probe, "PROBES", {("minilm", engine.card.precision): other})
    with pytest.raises(TrunkError, match="other vectors"):
        probe.agrees(engine)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["e5-small", "minilm"])
def test_a_processor_that_is_too_old_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.engines.processor.flags", lambda: frozenset({"avx2"}))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert isinstance(find(name).available(), Refused)
    with pytest.raises(TrunkError, match="lacks the instructions"):
        find(name).load()
    assert find("e5-small-f32").available() is None


def test_a_trunk_of_another_length_is_named_by_it() -> None:
    from trunkline.errors import TrunklineError

    longer, usual = find("e5-small@256"), find("e5-small")
    assert (longer.card.id, longer.card.max_tokens) == ("e5-small@256", 256)
    assert longer.card.fingerprint != usual.card.fingerprint
    assert find("e5-small-f32@64").card.max_tokens == 64
    for name in ("e5-small@9", "e5-small@many", "e5-small@", "minilm@256", "nothing@256"):
        with pytest.raises(TrunklineError):
            find(name)

"""Each network by its formula: gradients against finite differences, masks, positions, residual paths, and ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from trunkline.engines.ort import OrtSession  # noqa: E402
from trunkline.networks.audio_cnn import PADDING, AudioCnn  # noqa: E402
from trunkline.networks.cnn import ImageCnn, Residual  # noqa: E402
from trunkline.networks.cnn1d import TextCnn  # noqa: E402
from trunkline.networks.export import export  # noqa: E402
from trunkline.networks.lstm import TextRnn, turned  # noqa: E402
from trunkline.networks.mlp import TableMlp  # noqa: E402
from trunkline.networks.parts import Embedding, initialise  # noqa: E402
from trunkline.networks.transformer import Attention, Layer, TextTransformer, positions  # noqa: E402

WORDS = 30
TEXTS: dict[str, Callable[[], Any]] = {
    "cnn1d": lambda: TextCnn(WORDS, 3),
    "lstm": lambda: TextRnn(WORDS, 3),
    "gru": lambda: TextRnn(WORDS, 3, cell="gru"),
    "transformer": lambda: TextTransformer(WORDS, 3, longest=32),
}
OTHERS: dict[str, tuple[Callable[[], Any], Callable[[], tuple[Any, ...]]]] = {
    "cnn": (lambda: ImageCnn(1, 3), lambda: (torch.rand(2, 1, 9, 9) * 255,)),
    "cnn base": (lambda: ImageCnn(3, 3, size="base"), lambda: (torch.rand(2, 3, 8, 8) * 255,)),
    "audio": (lambda: AudioCnn(3, bands=16), lambda: (torch.randn(2, 20, 16),)),
    "mlp": (lambda: TableMlp(2, (3, 5), 3), lambda: (torch.tensor([[1.0, math.nan], [-1, 2]]), torch.tensor([[0, -1], [2, 4]]))),
}
IDS = [[5, 6, 7, 8, 9], [10, 11], [12]]


def ids_of(rows: list[list[int]], width: int = 0) -> Any:
    longest = max(width, *map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


def every() -> dict[str, tuple[Callable[[], Any], Callable[[], tuple[Any, ...]]]]:
    return {**{name: (make, lambda: (ids_of(IDS),)) for name, make in TEXTS.items()}, **OTHERS}


@pytest.mark.parametrize("name", every())
def test_backpropagation_equals_finite_differences(name: str) -> None:
    """Along a random direction of all weights, and along some single ones; double precision, smooth activations."""
    torch.manual_seed(0)
    make, given = every()[name]
    module, inputs = make().double().eval(), given()
    for part in module.modules():  # the corners of relu have no derivative
        for child, of in part.named_children():
            if isinstance(of, torch.nn.ReLU):
                setattr(part, child, torch.nn.Tanh())
    doubled = tuple(x.double() if x.is_floating_point() else x for x in inputs)
    weights = torch.randn(3, dtype=torch.float64)

    def value() -> Any:
        return (torch.tanh(module(*doubled).double()) * weights).sum()

    module.zero_grad()
    value().backward()
    named = {name: p for name, p in module.named_parameters() if p.grad is not None}
    known, direction = list(named.values()), [torch.randn_like(p) for p in named.values()]
    for way in (d for name, d in zip(named, direction, strict=True) if name == "embed.table.weight"):
        way[0] = 0  # padding stays 0
    slope = sum(float((p.grad * d).sum()) for p, d in zip(known, direction, strict=True))
    step = 1e-6
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(known, direction, strict=True):
                p.add_(d, alpha=sign * step)
            ends.append(float(value()))
            for p, d in zip(known, direction, strict=True):
                p.sub_(d, alpha=sign * step)
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=2e-4, abs=1e-6)
    assert abs(slope) > 1e-4


@pytest.mark.parametrize("name", TEXTS)
def test_padding_never_changes_an_answer(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = TEXTS[name]().eval()
    with torch.no_grad():
        alone = torch.cat([module(ids_of([row])) for row in IDS])
        for width in (0, 9, 20):
            assert torch.allclose(module(ids_of(IDS, width)), alone, atol=1e-5)
        assert not torch.allclose(alone[0], alone[1], atol=1e-4)
    worst = export(module, tmp_path / "m.onnx", [{"ids": ids_of(IDS)}, {"ids": ids_of(IDS[2:])}], {"ids": {0: "rows", 1: "words"}})
    assert worst < 1e-4
    session = OrtSession(tmp_path / "m.onnx")
    for width in (0, 9, 20):
        (found,) = session.run({"ids": ids_of(IDS, width).numpy()})
        np.testing.assert_allclose(found, alone.numpy(), atol=1e-4)


def test_padding_of_a_sound_never_changes_an_answer() -> None:
    torch.manual_seed(1)
    module = AudioCnn(3, bands=16)
    module.train()
    for _ in range(5):
        module(torch.randn(8, 24, 16))  # so that the norms have moved
    module.eval()
    sound = torch.randn(1, 21, 16)
    for more in (1, 3, 40):
        padded = torch.cat([sound, torch.full((1, more, 16), PADDING)], 1)
        with torch.no_grad():
            assert torch.allclose(module(padded), module(sound), atol=1e-5)


def test_an_answer_knows_at_which_height_a_sound_is_and_not_when() -> None:
    torch.manual_seed(3)
    module = AudioCnn(3, bands=16).eval()
    sound = torch.zeros(1, 112, 16)
    sound[:, 48:56, 4:6] = 5
    later, higher = sound.roll(8, 1), sound.roll(8, 2)  # by as many frames as are pooled into one
    with torch.no_grad():
        assert torch.allclose(module(later), module(sound), atol=1e-5)
        assert not torch.allclose(module(higher), module(sound), atol=1e-2)


@pytest.mark.parametrize("name", OTHERS)
def test_the_onnx_file_gives_what_pytorch_gives(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    make, given = OTHERS[name]
    named = {f"in{at}": tensor for at, tensor in enumerate(given())}
    free = {key: {0: "rows"} for key in named}
    assert export(make(), tmp_path / "m.onnx", [named, {key: tensor[:1] for key, tensor in named.items()}], free) < 1e-4


@pytest.mark.parametrize("name", every())
def test_both_sizes_and_the_table_of_presets_agree(name: str) -> None:
    make, given = every()[name]
    assert make().eval()(*given()).shape[1] == 3


def test_attention_is_its_formula() -> None:
    torch.manual_seed(0)
    part = Attention(8, 2)
    x, told = torch.randn(1, 3, 8), torch.tensor([[True, True, False]])
    q, k, v = (layer(x)[0].detach().numpy().astype(np.float64) for layer in (part.query, part.key, part.value))
    mixed = np.zeros((3, 8))
    for head in (slice(0, 4), slice(4, 8)):
        for i in range(3):
            scores = np.array([q[i, head] @ k[j, head] / 2 for j in range(2)])  # sqrt(4) = 2; the third is padding
            shares = np.exp(scores) / np.exp(scores).sum()
            mixed[i, head] = shares @ v[:2, head]
    wanted = part.out(torch.from_numpy(mixed).float())
    assert torch.allclose(part(x, told)[0], wanted, atol=1e-5)


def test_positions_are_sines_and_cosines() -> None:
    table = positions(50, 16)
    for p, i in ((0, 0), (7, 3), (49, 7)):
        angle = p / 10_000 ** (2 * i / 16)
        assert float(table[p, 2 * i]) == pytest.approx(math.sin(angle), abs=1e-5)
        assert float(table[p, 2 * i + 1]) == pytest.approx(math.cos(angle), abs=1e-5)


def test_a_transformer_knows_the_order_of_words() -> None:
    torch.manual_seed(0)
    module = TEXTS["transformer"]().eval()
    assert not torch.allclose(module(ids_of([[5, 6, 7]])), module(ids_of([[7, 6, 5]])), atol=1e-4)


def test_residual_paths_carry_what_the_parts_leave() -> None:
    layer = Layer(8, 2, 0.0, "gelu").eval()
    x, told = torch.randn(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)
    for last in (layer.attend.out, layer.narrow):
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    assert torch.equal(layer(x, told), x)
    block = Residual(4, "relu").eval()
    torch.nn.init.zeros_(block.inner[3].weight)
    pixels = torch.rand(1, 4, 5, 5)
    assert torch.equal(block(pixels), pixels)  # relu of what is positive already


def test_a_text_is_turned_round_in_its_own_length() -> None:
    x = torch.tensor([[[1.0], [2], [3]], [[4], [5], [0]]])
    told = torch.tensor([[True, True, True], [True, True, False]])
    assert turned(x, told)[:, :, 0].tolist() == [[3, 2, 1], [5, 4, 0]]


def test_an_lstm_cell_is_its_formula() -> None:
    torch.manual_seed(0)
    lstm = TEXTS["lstm"]().forth
    x = torch.randn(1, 2, 64)
    wx, wh = lstm.weight_ih_l0, lstm.weight_hh_l0
    bias = lstm.bias_ih_l0 + lstm.bias_hh_l0
    h, c = torch.zeros(64), torch.zeros(64)
    for step in range(2):
        i, f, g, o = (wx @ x[0, step] + wh @ h + bias).split(64)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    assert torch.allclose(lstm(x)[0][0, 1], h, atol=1e-5)


@pytest.mark.parametrize(("how", "variance"), [("he", 2 / 400), ("xavier", 2 / 700)])
def test_initial_weights(how: Any, variance: float) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(400, 300)
    initialise(layer, how)
    assert float(layer.weight.detach().var()) == pytest.approx(variance, rel=0.03)
    assert not layer.bias.any()


def test_a_table_of_words_starts_from_vectors_that_others_learned() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(10, 40)
    vectors[1] = vectors[0] + 0.01
    table = Embedding(12, 8)
    table.start_from(vectors)
    rows = table.table.weight.detach()
    assert not rows[0].any()
    assert float((rows[2] - rows[3]).norm()) < 0.1 * float((rows[2] - rows[4]).norm())


def test_missing_numbers_and_unseen_names_are_known_as_such() -> None:
    torch.manual_seed(0)
    module = TableMlp(1, (2,), 2).eval()
    zero, absent = torch.tensor([[0.0]]), torch.tensor([[math.nan]])
    code = torch.tensor([[0]])
    assert not torch.equal(module(zero, code), module(absent, code))
    assert torch.isfinite(module(absent, torch.tensor([[-1]]))).all()


def test_efficientnet_lite_gives_the_trunks_vectors() -> None:
    """Of noise, prepared as the trunk would."""
    from trunkline.engines.openvino import OpenVinoSession
    from trunkline.networks.efficientnet_lite import EfficientNetLite
    from trunkline.trunks.efficientnet import GRAPH, SIZE, EfficientNetLite0

    trunk = EfficientNetLite0()
    if refused := trunk.available():
        pytest.skip(refused.message)
    module = EfficientNetLite(2, trunk.weights()).train()
    assert not any(part.training for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d))
    pixels = torch.randint(0, 256, (1, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0)).float()
    (wanted,) = OpenVinoSession(trunk.prepare() / GRAPH, "f32").run([((pixels - module.middle) / module.spread).numpy()], [0])
    with torch.no_grad():
        found = torch.nn.functional.normalize(module.eval().places(pixels).mean((2, 3)), dim=1).numpy()
    assert float((found * wanted).sum()) > 0.99999

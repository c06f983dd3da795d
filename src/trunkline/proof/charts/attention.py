"""What each word gets of the attention: a row a word, a column a head, its layer's heads side by side."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.proof.charts.svg import WIDTH, Svg, element, fit, picture, room, text, title

COLUMNS = 16  # of a word
ROW, HEAD, GAP = 20.0, 40.0, 8.0  # heights of a word and of the headings; width between layers
WIDEST = 40.0  # a cell
STRONGEST = 0.85  # opacity of the largest share


def attention_chart(words: Sequence[str], shares: Sequence[Sequence[Sequence[float]]], layers: Sequence[str], alt: str) -> Svg:
    """shares: of each layer, of each head, one a word; layers: their names."""
    side, heads = room(words, COLUMNS), sum(len(layer) for layer in shares)
    size = min(WIDEST, (WIDTH - side - GAP * (len(shares) - 1)) / heads)
    most = max((share for layer in shares for head in layer for share in head), default=0.0) or 1.0
    parts = [text(side - 6, HEAD + ROW * at + 14, fit(word, COLUMNS), "ink", "end") for at, word in enumerate(words)]
    left = side
    for name, layer in zip(layers, shares, strict=True):
        parts.append(text(left, 12, fit(name, max(3, int(size * len(layer) / 6.8))), "soft"))
        for at, head in enumerate(layer, 1):
            parts.append(text(left + size / 2, 30, str(at), "soft", "middle"))
            parts += [_cell(left, HEAD + ROW * i, size, share, most, f"{word}, {name}, {at}: {share:.1%}") for i, (word, share) in enumerate(zip(words, head, strict=True))]
            left += size
        left += GAP
    return picture(HEAD + ROW * len(words) + 4, alt, parts)


def _cell(x: float, y: float, size: float, share: float, most: float, name: str) -> Svg:
    opacity = round(max(0.04, STRONGEST * share / most), 3)
    cell = element("rect", x=x + 0.5, y=y + 0.5, width=size - 1, height=ROW - 1, class_="heat", fill_opacity=opacity)
    return element("g", title(name), cell)

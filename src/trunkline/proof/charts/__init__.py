"""Charts as SVG in the page: points with whiskers, direct labels, colours from the page's classes.

All are drawn 440 wide, so that their text stays readable on a phone. Colours come by class (`acc`
the subject, `soft` context, `ln` lines), so that light and dark are the page's choice.
"""

from trunkline.proof.charts.attention import attention_chart
from trunkline.proof.charts.calibration import calibration_chart
from trunkline.proof.charts.curve import curve_chart
from trunkline.proof.charts.dots import Dot, dot_chart
from trunkline.proof.charts.epochs import epochs_chart
from trunkline.proof.charts.heat import heat_chart
from trunkline.proof.charts.scatter import scatter_chart
from trunkline.proof.charts.tiles import Tile, tiles_chart

__all__ = [
    "Dot", "Tile", "attention_chart", "calibration_chart", "curve_chart", "dot_chart", "epochs_chart", "heat_chart",
    "scatter_chart", "tiles_chart",
]  # fmt: skip

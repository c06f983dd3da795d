"""Figures of merit: pure functions, arrays in and numbers out, numpy only.

Every figure is `f(target, values, ..., weights=None)`. Without weights it gives a float; with
weights (draws, n) it gives (draws,), one figure per row of weights, which is what the bootstrap
asks for (an integer weight = how often the row was drawn). A figure that these rows can't give
(one class only, no positives, NaN among the values) is nan, never a guess.
`*_rows` functions give (n,) whose mean is the figure.
"""

from trunkline.metrics.answers import (
    answer_exact,
    answer_exact_rows,
    answer_f1,
    answer_f1_rows,
)
from trunkline.metrics.classify import (
    accuracy,
    accuracy_rows,
    confusion,
    cost_matrix,
    cost_rows,
    decide,
    expected_cost,
    macro_f1,
    per_class,
)
from trunkline.metrics.multilabel import (
    exact_match,
    exact_match_rows,
    label_ranking_average_precision,
    label_ranking_rows,
    multilabel_average_precision,
    multilabel_macro_f1,
    multilabel_micro_f1,
)
from trunkline.metrics.probability import (
    calibration_error,
    equal_mass_bins,
    log_loss,
    log_loss_rows,
)
from trunkline.metrics.ranking import auroc, average_precision, recall_at_alarm_rate
from trunkline.metrics.regress import (
    absolute_error_rows,
    coverage_rows,
    interval_coverage,
    mae,
    r2,
    rmse,
)
from trunkline.metrics.spans import (
    exact_rows,
    exact_spans,
    span_f1,
    span_macro_f1,
    span_precision,
    span_recall,
)

__all__ = [
    "absolute_error_rows",
    "accuracy",
    "accuracy_rows",
    "answer_exact",
    "answer_exact_rows",
    "answer_f1",
    "answer_f1_rows",
    "auroc",
    "average_precision",
    "calibration_error",
    "confusion",
    "cost_matrix",
    "cost_rows",
    "coverage_rows",
    "decide",
    "equal_mass_bins",
    "exact_match",
    "exact_match_rows",
    "exact_rows",
    "exact_spans",
    "expected_cost",
    "interval_coverage",
    "label_ranking_average_precision",
    "label_ranking_rows",
    "log_loss",
    "log_loss_rows",
    "macro_f1",
    "mae",
    "multilabel_average_precision",
    "multilabel_macro_f1",
    "multilabel_micro_f1",
    "per_class",
    "r2",
    "recall_at_alarm_rate",
    "rmse",
    "span_f1",
    "span_macro_f1",
    "span_precision",
    "span_recall",
]

"""Correlations with listening scores, with intervals over signals; as a table and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table
from scipy.stats import rankdata

from speechlm.benchmarks.mushra import Stimulus
from speechlm.errors import SpeechLMError
from speechlm.evaluation.metrics import Metric
from speechlm.types import Floats

RESAMPLES = 2000
LEVEL = 0.95
PENALTIES = 10.0 ** np.arange(-1, 4)  # of the combination's ridge regression
COLUMNS = "pearson_clip", "spearman_clip", "pearson_condition", "spearman_condition"
TITLES = "Pearson, clips", "Spearman, clips", "Pearson, conditions", "Spearman, conditions"


@dataclass(frozen=True)
class Correlation:
    """A correlation with a 95 % interval over resampled signals."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class JudgeRow:
    """One metric: a correlation for each of ``COLUMNS``; ``n`` clips have a score."""

    name: str
    title: str
    n: int
    correlations: dict[str, Correlation]
    note: str = ""


@dataclass(frozen=True)
class JudgeReport:
    """Rows by descending correlation over clips, and the means of each condition."""

    folder: str
    signals: int
    conditions: dict[str, dict[str, float]]
    ratings: int
    rows: list[JudgeRow]
    absent: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def title(self) -> str:
        return (
            f"{self.signals} signals x {len(self.conditions)} conditions, {self.ratings} ratings; "
            "95 % intervals over signals"
        )

    def table(self) -> Table:
        table = Table("metric", "n", *TITLES, title=self.title)
        for row in self.rows:
            table.add_row(row.title, str(row.n), *(str(row.correlations[c]) for c in COLUMNS))
        for name, reason in self.absent.items():
            table.add_row(name, "0", reason)
        return table

    def markdown(self) -> str:
        lines = [f"| metric | n | {' | '.join(TITLES)} |", "|---" * (2 + len(TITLES)) + "|"]
        for row in self.rows:
            cells = " | ".join(str(row.correlations[column]) for column in COLUMNS)
            lines.append(f"| {row.title} | {row.n} | {cells} |")
        names = list(next(iter(self.conditions.values())))
        lines += ["", f"| condition | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
        for condition, means in self.conditions.items():
            cells = " | ".join(f"{means[name]:.2f}" for name in names)
            lines.append(f"| {condition} | {cells} |")
        return "\n".join(lines) + "\n"


def summarise(
    folder: str,
    stimuli: Sequence[Stimulus],
    metrics: Sequence[Metric],
    scores: Floats,
    reasons: dict[str, str],
) -> JudgeReport:
    """Put a report together; ``scores`` (stimuli, metrics) are NaN where there is none.

    Raises:
        SpeechLMError: unless every signal was rated once in every condition.
    """
    signals = sorted({stimulus.signal for stimulus in stimuli})
    conditions = sorted({stimulus.condition for stimulus in stimuli})
    rated = {(stimulus.signal, stimulus.condition) for stimulus in stimuli}
    if not len(rated) == len(stimuli) == len(signals) * len(conditions):
        raise SpeechLMError(f"{folder}: not every signal is rated once in every condition")
    grid = np.full((len(signals), len(conditions), len(metrics) + 1), np.nan)
    for stimulus, values in zip(stimuli, scores, strict=True):
        place = signals.index(stimulus.signal), conditions.index(stimulus.condition)
        grid[place] = [stimulus.rating, *values]
    ratings = grid[..., 0]
    rows, absent = [], {}
    for index, metric in enumerate(metrics, 1):
        values, n = grid[..., index], int(np.isfinite(grid[..., index]).sum())
        if n < ratings.size // 2:
            absent[metric.name] = reasons.get(metric.name, "no score")
            continue
        found = correlations(values, ratings)
        rows.append(JudgeRow(metric.name, metric.title, n, found, reasons.get(metric.name, "")))
    usable = [i for i in range(1, grid.shape[2]) if np.isfinite(grid[..., i]).all()]
    if len(usable) > 1:
        features = grid[..., usable]
        for name, others in (("signals", features), ("conditions", features.swapaxes(0, 1))):
            targets = ratings if name == "signals" else ratings.T
            predicted = left_out(others, targets)
            rows.append(
                JudgeRow(
                    f"combination_{name}",
                    f"Ridge of {len(usable)} metrics, fitted on the other {name}",
                    ratings.size,
                    correlations(predicted if name == "signals" else predicted.T, ratings),
                )
            )
    rows.sort(key=lambda row: -row.correlations[COLUMNS[0]].value)
    shown = [i for i, metric in enumerate(metrics, 1) if metric.name in _leading(rows)]
    means = {
        condition: {"rating": float(ratings[:, c].mean())}
        | {metrics[i - 1].title: float(np.nanmean(grid[:, c, i])) for i in shown}
        for c, condition in enumerate(conditions)
    }
    return JudgeReport(
        folder, len(signals), means, sum(stimulus.ratings for stimulus in stimuli), rows, absent
    )


def _leading(rows: list[JudgeRow]) -> set[str]:
    """Those whose means by condition are shown: the first four, and the usual ones."""
    alone = [row.name for row in rows if not row.name.startswith("combination")]
    return {*alone[:4], *({"pesq", "stoi", "distillmos"} & set(alone))}


def correlations(values: Floats, ratings: Floats) -> dict[str, Correlation]:
    """Of ``values`` (signals, conditions), NaN left out, with ``ratings`` of the same shape.

    Over clips, and over the means of conditions. Intervals are the percentile bootstrap with
    signals as the resampling unit.
    """
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    draws = np.concatenate([np.arange(len(values))[None], drawn])
    first = values[draws]
    second = np.where(np.isfinite(first), ratings[draws], np.nan)
    clips = first.reshape(len(draws), -1), second.reshape(len(draws), -1)
    means = np.nanmean(first, axis=1), np.nanmean(ratings[draws], axis=1)
    found = {}
    for name, function in (("pearson", pearson), ("spearman", spearman)):
        for where, pair in (("clip", clips), ("condition", means)):
            found[f"{name}_{where}"] = _interval(function, *pair)
    return found


def _interval(
    function: Callable[[Floats, Floats], Floats], first: Floats, second: Floats
) -> Correlation:
    value, *resampled = function(first, second).tolist()
    if not np.isfinite(resampled).any():  # one value for all
        return Correlation(value, np.nan, np.nan)
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    return Correlation(value, float(low), float(high))


def pearson(first: Floats, second: Floats) -> Floats:
    """Of each row of two arrays (rows, n), NaN left out."""
    x, y = (values - np.nanmean(values, axis=1, keepdims=True) for values in (first, second))
    scale = np.sqrt(np.nansum(x * x, axis=1) * np.nansum(y * y, axis=1))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(x * y, axis=1) / scale)


def spearman(first: Floats, second: Floats) -> Floats:
    """Pearson's of the ranks; values that are alike share theirs."""
    ranks = (rankdata(values, axis=1, nan_policy="omit") for values in (first, second))
    return pearson(*ranks)


def left_out(features: Floats, targets: Floats) -> Floats:
    """Predictions (groups, n) for each group by ridge regression on the other groups.

    ``features`` are (groups, n, metrics). The penalty is the one that does best when each of the
    other groups is left out in its turn.
    """
    predicted = np.empty_like(targets)
    for group in range(len(targets)):
        others = np.delete(np.arange(len(targets)), group)
        errors = np.zeros(len(PENALTIES))
        for inner in others:
            rest = others[others != inner]
            for index, penalty in enumerate(PENALTIES):
                guess = _ridge(features[rest], targets[rest], penalty)(features[inner])
                errors[index] += np.square(guess - targets[inner]).sum()
        best = PENALTIES[errors.argmin()]
        predicted[group] = _ridge(features[others], targets[others], best)(features[group])
    return predicted


def _ridge(features: Floats, targets: Floats, penalty: float) -> Callable[[Floats], Floats]:
    x, y = features.reshape(-1, features.shape[-1]), targets.ravel()
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-12
    z = (x - mean) / scale
    weights = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y - y.mean()))
    return lambda new: np.asarray((new - mean) / scale @ weights + y.mean())

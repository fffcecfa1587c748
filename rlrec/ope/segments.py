"""The same question asked of each part of the log: where does the target policy earn more, where less?

Many parts, many intervals: each is taken at 1 - α/m, so that all m hold at once (Bonferroni; parts share few users).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from rlrec.errors import InputError
from rlrec.ope.diagnostics import effective
from rlrec.ope.estimators import Estimate, sndr, snips
from rlrec.ope.intervals import Interval, clustered
from rlrec.ope.models import part
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import Stats
from rlrec.ope.summary import closed_form, estimate_of

Array = np.ndarray
MOST_SEGMENTS = 1_000


@dataclass(frozen=True)
class Segment:
    """One part: its value by SNDR or SNIPS, what it earned as logged, and the interval that holds with all others."""

    segment: str
    estimator: str
    value: float
    logging_value: float
    standard_error: float
    low: float
    high: float
    level: float
    n: int
    n_clusters: int
    ess: float


def segments(rounds: Rounds, label: Shaped[Array, "N"], level: float = 0.95) -> list[Segment]:
    """Every part, from the largest; `level` is that of all intervals together.

    Raises:
        InputError: a request without a label, or more than `MOST_SEGMENTS` parts.
    """
    if missing := sum(one is None for one in label.tolist()):
        raise InputError("requests without a segment", rows=missing, remedy="fill the column, or name such requests")
    names, code, sizes = np.unique(label.astype(str), return_inverse=True, return_counts=True)
    require_few(len(names))
    found: list[Segment] = []
    for number in np.argsort(-sizes, kind="stable").tolist():
        own = part(rounds, code == number)
        one = (snips if own.q_hat is None else sndr)(own)
        interval = clustered(one, own, 1 - (1 - level) / len(names))
        size = effective(own.weights.reshape(-1))
        found.append(told(str(names[number]), one, interval, own.logging_value, level, len(own), own.clusters, size))
    return found


def segments_of_stats(parts: Mapping[str, Stats], level: float = 0.95) -> list[Segment]:
    """The same from the sums of each part, shards for users.

    Raises:
        InputError: more than `MOST_SEGMENTS` parts.
    """
    require_few(len(parts))
    found: list[Segment] = []
    for name, stats in sorted(parts.items(), key=lambda part: (-part[1].n, part[0])):
        shards = int(stats.present.sum())
        one = estimate_of("sndr" if stats.has_model else "snips", stats).estimate
        interval = closed_form(one, shards, 1 - (1 - level) / len(parts))
        size = stats.effective_sample_size
        found.append(told(name, one, interval, stats.logging_value, level, stats.n, shards, size))
    return found


def told(
    name: str, one: Estimate, interval: Interval, logging_value: float, level: float, rows: int, units: int, size: float
) -> Segment:
    """One part, whoever summed it; `level` is that of all parts at once."""
    return Segment(
        segment=name,
        estimator=one.estimator,
        value=one.value,
        logging_value=logging_value,
        standard_error=interval.standard_error,
        low=interval.low,
        high=interval.high,
        level=level,
        n=rows,
        n_clusters=units,
        ess=size,
    )


def require_few(count: int, positions: int = 1) -> None:
    """Refuse more parts than a reader, or the memory for their sums by position, has room for.

    Raises:
        InputError: there are.
    """
    if count > (most := max(1, MOST_SEGMENTS // positions)):
        raise InputError(f"more than {most:,} segments", remedy=f"group them: {most:,} at most")

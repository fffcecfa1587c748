"""The same question asked of each part of the log: where does the target policy earn more, where less?

Many parts, many intervals: each is taken at 1 - α/m, so that all m hold at once (Bonferroni; parts share few users).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from rlrec.errors import InputError
from rlrec.ope.diagnostics import effective
from rlrec.ope.estimators import sndr, snips
from rlrec.ope.intervals import clustered
from rlrec.ope.models import part
from rlrec.ope.rounds import Rounds

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
    if len(names) > MOST_SEGMENTS:
        raise InputError(f"{len(names):,} segments", remedy=f"group them: {MOST_SEGMENTS:,} at most")
    found: list[Segment] = []
    for number in np.argsort(-sizes, kind="stable").tolist():
        own = part(rounds, code == number)
        one = (snips if own.q_hat is None else sndr)(own)
        interval = clustered(one, own, 1 - (1 - level) / len(names))
        found.append(
            Segment(
                segment=str(names[number]),
                estimator=one.estimator,
                value=one.value,
                logging_value=own.logging_value,
                standard_error=interval.standard_error,
                low=interval.low,
                high=interval.high,
                level=level,
                n=len(own),
                n_clusters=own.clusters,
                ess=effective(own.weights.reshape(-1)),
            )
        )
    return found

"""Do estimated propensities come near the recorded ones? `RLREC_TEST_DATA=DIR python -m benchmarks.propensities`.

The six small logs of Open Bandit tell the true propensities. They are hidden, estimated by each model across users, and
compared: the mean log-loss of what was shown (that of the truth is the least there is), the mean absolute log ratio to
the truth, by which importance weights are off, and the calibration error.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from rlrec.corpus import Corpus
from rlrec.feedback.frequencies import Frequency
from rlrec.feedback.logistic import Logistic
from rlrec.feedback.propensity import calibration_error, fit, log_loss
from rlrec.tables import CANDIDATES, ITEMS, LOGGED_SLATES
from tasks.sources import fetch
from tasks.warehouse import ingest

LOGS = [f"{policy}-{campaign}" for policy in ("random", "bts") for campaign in ("all", "men", "women")]
MODELS = {"frequency": Frequency(), "logistic": Logistic()}


def measured(log: str, data: Path) -> Iterator[tuple[str, float, float, float]]:
    """Model, log-loss, mean absolute log ratio and calibration error; first the truth."""
    with TemporaryDirectory() as folder:
        corpus = Corpus.of(ingest(fetch(f"open-bandit-{log}", data / "open-bandit"), Path(folder) / "warehouse").path)
        slates = corpus.scan(LOGGED_SLATES)
        yield "recorded", -slates.select(pl.col("propensity").log().mean()).collect().item(), 0.0, 0.0
        items = corpus.scan(ITEMS).select(pl.len()).collect().item()
        hidden = slates.with_columns(propensity=pl.lit(None, pl.Float64), propensity_source=pl.lit("missing"))
        recorded = slates.select("event", recorded="propensity")
        for name, recipe in MODELS.items():
            model = fit(hidden, recipe, items, corpus.scan(CANDIDATES))
            filled = model.fill(hidden).collect().lazy()
            both = filled.join(recorded, on="event")
            ratio = both.select((pl.col("propensity") / pl.col("recorded")).log().abs().mean()).collect().item()
            yield name, log_loss(filled) or 0.0, ratio, calibration_error(model.reliability(filled)) or 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.propensities", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=LOGS, default=LOGS)
    chosen = parser.parse_args(arguments)
    data = Path(os.environ["RLREC_TEST_DATA"])
    print(f"{'log':13s} {'model':10s} {'log-loss':>9s} {'|log ratio|':>12s} {'calibration':>12s}")
    for log in chosen.only:
        for name, loss, ratio, error in measured(log, data):
            print(f"{log:13s} {name:10s} {loss:9.3f} {ratio:12.3f} {error:12.4f}")


if __name__ == "__main__":
    main()

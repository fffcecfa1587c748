"""Where figures come from, in plain words: the version of a corpus, and the propensities of a log."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from rlrec.splits import WORLD

CORPUS = "corpus.json"
NOT_RECORDED = ("estimated", "missing")
HELD_OUT = {
    "world": "Rows from each user's first held-out event on taught it nothing.",
    "global_time": "Rows from {until} on, the first held-out moment, taught it nothing.",
    "latest": "No event is held out; rows of the last fifth of the log's own time, from {until} on, taught it nothing.",
}


def version_sentence(description: Mapping[str, Any], name: str, digest: str) -> str:
    """Which corpus: the warehouse's generation, the view with its filters and splits, and the digest of it all."""
    view = description.get("view", {})
    filters = ", ".join(section(part, "filter") for part in view.get("filters", ())) or "none"
    splits = ", ".join([WORLD, *(section(part, "protocol") for part in view.get("splits", ()))])
    return (
        f"Generation {description['generation']}, view {name}, SHA-256 {digest[:12]}. Filters: {filters}. "
        f"Splits: {splits}. Positive from a value of {description['positive_from']:g}."
    )


def section(settings: Mapping[str, Any], tag: str) -> str:
    """A filter or split with its settings: `k core (users 5, items 5)`."""
    said = ", ".join(
        f"{key} {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"
        for key, value in settings.items()
        if key != tag and value is not None
    )
    return str(settings[tag]).replace("_", " ") + (f" ({said})" if said else "")


def propensity_sentence(told: Mapping[str, Any] | None) -> str:
    """How many propensities were recorded, estimated or are missing; by which model, and how well it fits."""
    if not told or not sum(told["rows"].values()):
        return "no shown slates, so no propensities."
    rows, total = told["rows"], sum(told["rows"].values())
    estimated, missing = (rows.get(source, 0) for source in NOT_RECORDED)
    shares = [(total - estimated - missing, "recorded"), (estimated, "estimated"), (missing, "missing")]
    text = f"of {total:,} shown items, the propensity is " + ", ".join(
        f"{what} for {share(number, total)}" for number, what in shares
    )
    if not estimated:
        return text + "."
    if "model" not in told:
        return f"{text}. Which model estimated them is not said beside the log."
    fit = f"log-loss {told['log_loss']:.3f} nats a row"
    others = [
        f"{told[key]:.3f} {where}"
        for key, where in (
            ("log_loss_held_out", "on rows that taught it nothing"),
            ("log_loss_frequency", "by frequency"),
        )
        if told.get(key) is not None
    ]
    fit += f" ({', '.join(others)})" if others else ""
    held_out = HELD_OUT[told["held_out"]].format(until=told["fitted_until"])
    return (
        f"{text}. The model “{told['model']}” learned from {told['learned_rows']:,} rows: {fit}, "
        f"calibration error {told['calibration_error']:.3f}. {held_out}"
    )


def share(number: int, total: int) -> str:
    """A part in percent; all and none only when it is all or none."""
    if number in (0, total):
        return "none" if number == 0 else "all"
    return f"{min(max(100 * number / total, 0.1), 99.9):.1f} %"


def propensities_of(logs: Path, beside: Path | None = None) -> dict[str, Any]:
    """The propensities of a log in a Parquet file, or a folder of them; what its corpus says of the model, if there.

    The corpus lies around the log, or `beside` another that it was taken from.

    A row that does not say where its propensity comes from counts as recorded.
    """
    frame = pl.scan_parquet(logs / "**" / "*.parquet") if logs.is_dir() else pl.scan_parquet(logs, glob=False)
    source = pl.col("propensity_source") if "propensity_source" in frame.collect_schema() else pl.lit(None, pl.String)
    counts = frame.group_by(source=source.fill_null("logged")).len().sort("source").collect()
    description = (beside or logs).parent / CORPUS
    known = json.loads(description.read_text(encoding="utf-8")).get("propensities") if description.exists() else None
    return {**(known or {}), "rows": dict(counts.iter_rows())}

"""Results: the folder that evaluation leaves behind, read and checked. Its tables are the contract with the report.

`summary.json` (`Summary`) and `heldout.parquet` are required. `paired`, `truth`, `estimates`, `curve` and `training`
may be missing: their tables are then empty and the page says so. A policy id names one fitted object, so its label and
what it was fitted on never vary; `seed` is null for an unseeded row or the mean over seeds. NaN is read as missing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rlrec.errors import InputError
from rlrec.tables import Table, check
from tasks.report.glossary import RULES_OF_CHOICE

TEXT, WHOLE, NUMBER, FLAG = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean()
INTERVAL = {"value": NUMBER, "low": NUMBER, "high": NUMBER}
UNKNOWN_ENDS = frozenset({"low", "high"})
UNTYPED = (pl.Null(), pl.List(pl.Null()))  # what a column of nothing but nulls or empty lists is written as
HALVES = ("heldout", "simulated")
VERDICTS = ("no_support", "caution", "trust")  # worst first: a policy shows the worst of its estimates
SAME_INFORMATION = "train + clicks"

HELDOUT = Table(
    "heldout",
    {"policy": TEXT, "label": TEXT, "fitted_on": TEXT, "seed": WHOLE, "metric": TEXT, **INTERVAL, "users": WHOLE},
    key=("policy", "seed", "metric"),
    nullable=frozenset({"fitted_on", "seed", "users"}) | UNKNOWN_ENDS,
)
PAIRED = Table(
    "paired",
    {
        "policy": TEXT,
        "reference": TEXT,
        "metric": TEXT,
        "difference": NUMBER,
        "low": NUMBER,
        "high": NUMBER,
        "half": TEXT,
    },
    key=("policy", "reference", "metric", "half"),
    nullable=UNKNOWN_ENDS,
)
TRUTH = Table(
    "truth",
    {"policy": TEXT, "label": TEXT, "fitted_on": TEXT, "seed": WHOLE, "kind": TEXT, **INTERVAL},
    key=("policy", "seed", "kind"),
    nullable=frozenset({"fitted_on", "seed"}) | UNKNOWN_ENDS,
)
DIAGNOSTICS: dict[str, pl.DataType] = dict.fromkeys(
    ("ess_share", "max_weight", "max_weight_share", "true_value"), NUMBER
)
ESTIMATES = Table(
    "estimates",
    {
        **{
            "target_policy": TEXT,
            "label": TEXT,
            "seed": WHOLE,
            "estimator": TEXT,
            **INTERVAL,
            "standard_error": NUMBER,
        },
        **{"level": NUMBER, "method": TEXT, "validity": TEXT, "n": WHOLE, "n_clusters": WHOLE, "ess": NUMBER},
        **{"mean_weight": NUMBER, "verdict": TEXT, "failed_rules": pl.List(TEXT)},
    },
    key=("target_policy", "seed", "estimator", "method"),
    nullable=frozenset({"seed", *INTERVAL, "standard_error", "level", "method", "validity", "n", "n_clusters"})
    | {"failed_rules", "ess", "mean_weight"},
    optional=DIAGNOSTICS,
)
CURVE_NUMBERS = (
    "value", "se", "variance", "bias_plugin", "bias_bound", "mse_plugin", "mse_bound", "ess", "clipped_share",
    "mass_missing", "ci_low", "ci_high",
)  # fmt: skip
CURVE = Table(
    "curve",
    {
        "target_policy": TEXT, "label": TEXT, "base": TEXT, "family": TEXT, "lambda": NUMBER,
        **dict.fromkeys(CURVE_NUMBERS, NUMBER), **{f"selected_{rule}": FLAG for rule in RULES_OF_CHOICE},
    },
    key=("target_policy", "base", "family", "lambda"),
    nullable=frozenset(CURVE_NUMBERS),
    optional={"true_bias": NUMBER, "true_mse": NUMBER},
)  # fmt: skip
TRAINING = Table(
    "training",
    {"stage": TEXT, "seed": WHOLE, "step": WHOLE, "metric": TEXT, "value": NUMBER},
    key=("stage", "seed", "step", "metric"),
    nullable=frozenset({"seed", "value"}),
)


class Headline(BaseModel):
    """The comparison that decides: `policy` minus `reference` in `metric`. `beats` must agree with the interval."""

    model_config = ConfigDict(frozen=True)

    policy: str
    reference: str
    metric: str
    difference: float
    low: float | None = None
    high: float | None = None
    beats: bool | None = None


class Summary(BaseModel):
    """`summary.json`: what was run, on what, how long it took and what came out."""

    model_config = ConfigDict(frozen=True, extra="allow")

    dataset: str
    headline: Headline | None
    counts: dict[str, int]
    seeds: list[int]
    git_commit: str
    started_at: str
    seconds: dict[str, float]
    origin: str | None = None
    knowledge_graph: str | None = None
    protocol_text: str = ""
    corpus: str | None = None
    """The version of the corpus, in words."""
    propensities: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    """By log: rows by source of the propensity, and the model with its reliability; null without slates."""
    world: dict[str, Any] = Field(default_factory=dict)
    recipes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    candidate_recall: float | None = None
    marginal_error: float | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    licence: str | None = None
    commands: list[str] = Field(default_factory=list)
    mlflow: dict[str, str | None] = Field(default_factory=dict)
    prefect: dict[str, str | None] = Field(default_factory=dict)
    model: dict[str, str | int | None] = Field(default_factory=dict)
    caveats: list[str] = Field(default_factory=list)
    level: float = 0.95
    """Coverage of the intervals in heldout, paired, truth and headline."""
    value_unit: str = "clicks per slate"
    """What off-policy values are counted in."""
    logging_policy: str = "logging"
    """Id of the policy that runs today."""


@dataclass(frozen=True)
class Results:
    """Everything the report shows: the summary and six checked tables (empty where a file is missing)."""

    folder: Path
    summary: Summary
    heldout: pl.DataFrame
    paired: pl.DataFrame
    truth: pl.DataFrame
    estimates: pl.DataFrame
    curve: pl.DataFrame
    training: pl.DataFrame

    @cached_property
    def described(self) -> dict[str, tuple[str, str | None]]:
        """Label and `fitted_on` of each policy, in the order of the files."""
        renamed = [frame.rename({"target_policy": "policy"}) for frame in (self.estimates, self.curve)]
        found: dict[str, tuple[str, str | None]] = {}
        for frame in (self.heldout, self.truth):
            for policy, label, fitted_on in (
                frame.select("policy", "label", "fitted_on").unique(maintain_order=True).rows()
            ):
                if found.setdefault(policy, (label, fitted_on)) != (label, fitted_on):
                    raise InputError(
                        f"policy {policy!r} has two descriptions: {found[policy]} and {(label, fitted_on)}",
                        file=self.folder,
                        column="policy",
                        remedy="give each fitted object its own policy id, with one label and one fitted_on",
                    )
        for frame in renamed:
            for policy, label in frame.select("policy", "label").unique(maintain_order=True).rows():
                found.setdefault(policy, (label, None))
        return found

    @cached_property
    def names(self) -> Mapping[str, str]:
        """What to call each policy: its label, with what it was fitted on where the label alone is ambiguous."""
        labels = [label for label, _ in self.described.values()]
        return {
            policy: f"{label} ({fitted_on})"
            if fitted_on and labels.count(label) > 1 and fitted_on not in label
            else label
            for policy, (label, fitted_on) in self.described.items()
        }

    def name(self, policy: str) -> str:
        """What to call a policy; its id where no table describes it."""
        return self.names.get(policy, policy)

    @property
    def simulated(self) -> bool:
        """Whether the truth behind the feedback is known, which only a simulator offers."""
        return not self.truth.is_empty() or bool(self.estimates["true_value"].is_not_null().any())


def representative(frame: pl.DataFrame, *over: str) -> pl.DataFrame:
    """Per group the row without a seed (the mean over seeds, or an unseeded policy); failing that, the lowest seed."""
    seed = pl.col("seed").fill_null(-1)
    return frame.filter(seed == seed.min().over(over))


def read_results(folder: Path) -> Results:
    """Read and check a results folder.

    Raises:
        InputError: a required file is missing, or a file does not keep to its schema.
    """
    results = Results(
        folder=folder,
        summary=read_summary(folder / "summary.json"),
        heldout=read_table(folder, HELDOUT, required=True),
        paired=read_table(folder, PAIRED),
        truth=read_table(folder, TRUTH),
        estimates=read_table(folder, ESTIMATES),
        curve=read_table(folder, CURVE),
        training=read_table(folder, TRAINING),
    )
    one_of(results.paired, "half", HALVES, folder / "paired.parquet")
    one_of(results.truth, "kind", ("greedy", "stochastic"), folder / "truth.parquet")
    one_of(results.estimates, "verdict", VERDICTS, folder / "estimates.parquet")
    one_of(results.training, "stage", ("pretrain", "finetune"), folder / "training.parquet")
    for frame, name in ((results.heldout, "heldout"), (results.paired, "paired"), (results.truth, "truth")):
        in_order(frame, "difference" if name == "paired" else "value", folder / f"{name}.parquet")
    _ = results.described
    return results


def read_summary(file: Path) -> Summary:
    """Read `summary.json`; refuse a headline that claims more than its interval supports."""
    try:
        summary = Summary.model_validate(json.loads(file.read_bytes()))
    except OSError as fault:
        raise InputError("the summary of the results cannot be read", file=file, remedy=REMEDY) from fault
    except ValidationError as fault:
        first = fault.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"summary key {key}: {first['msg']}", file=file, column=key, remedy=REMEDY) from fault
    except ValueError as fault:
        raise InputError(f"the summary is not JSON: {fault}", file=file, remedy=REMEDY) from fault
    headline = summary.headline
    if headline and headline.beats and not (headline.low is not None and headline.low > 0):
        raise InputError(
            "the headline says that the policy beats its reference, but its interval does not lie above zero",
            file=file,
            column="headline.beats",
            remedy="set beats to true only when low > 0, to false or null otherwise",
        )
    return summary


def read_table(folder: Path, table: Table, *, required: bool = False) -> pl.DataFrame:
    """Read one Parquet table in the types of its schema; an optional file that is missing gives an empty table."""
    file, wanted = folder / f"{table.name}.parquet", {**table.columns, **table.optional}
    if not file.exists() and not required:
        return pl.DataFrame(schema=wanted)
    try:
        frame = pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as fault:
        raise InputError(f"the table {table.name} cannot be read: {fault}", file=file, remedy=REMEDY) from fault
    numeric = [name for name, dtype in frame.schema.items() if dtype.is_numeric() or dtype in UNTYPED]
    frame = frame.with_columns(pl.col(name).cast(wanted[name]) for name in numeric if name in wanted)
    frame = frame.with_columns(pl.selectors.float().fill_nan(None))
    frame = frame.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in table.optional.items() if name not in frame
    )
    check(frame, table, file=file)
    return frame.select(list(wanted))


def one_of(frame: pl.DataFrame, column: str, allowed: tuple[str, ...], file: Path) -> None:
    """Refuse a word that the contract does not know."""
    wrong = frame.filter(~pl.col(column).is_in(allowed))
    if not wrong.is_empty():
        raise InputError(
            f"unknown {column} {wrong[column][0]!r}",
            file=file,
            column=column,
            rows=len(wrong),
            remedy=f"use one of {allowed}",
        )


def in_order(frame: pl.DataFrame, value: str, file: Path) -> None:
    """Refuse an interval whose ends are swapped."""
    wrong = frame.filter(pl.col("low") > pl.col("high"))
    if not wrong.is_empty():
        raise InputError(
            f"the interval of a {value} ends before it begins",
            file=file,
            column="low",
            rows=len(wrong),
            remedy="swap low and high",
        )


REMEDY = "run the evaluation again; tasks/report/results.py lists what the folder must hold"

"""What an off-policy answer puts onto an MLflow run and onto Prefect's page: from the files of `rlrec ope` alone."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from rlrec.ope.comparison import LOGGING
from rlrec.ope.selection import RULES
from tasks.estimates import FILES
from tasks.report.sheetgrids import keyed, named
from tasks.report.summaries import plain
from tasks.report.wording import interval, number
from tasks.tracking import Run, commit

ENDS = ("value", "low", "high")
CURVE_IMAGE = "curve.png"


@dataclass(frozen=True)
class Answer:
    """The folder of an answer, read back."""

    folder: Path

    def _json(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))

    @cached_property
    def estimates(self) -> dict[str, Any]:
        """`estimates.json`."""
        return self._json("estimates")

    @cached_property
    def diagnostics(self) -> dict[str, Any]:
        """`diagnostics.json`, by policy."""
        return self._json("diagnostics")

    @cached_property
    def decision(self) -> dict[str, Any]:
        """`decision.json`, by policy."""
        return self._json("decision")

    @cached_property
    def curve(self) -> pl.DataFrame:
        """`curve.parquet`."""
        return pl.read_parquet(self.folder / "curve.parquet")

    @cached_property
    def comparison(self) -> pl.DataFrame:
        """`comparison.parquet`."""
        return pl.read_parquet(self.folder / "comparison.parquet")

    def metrics(self) -> Iterator[tuple[str, float, int]]:
        """Values and interval ends, differences, and the λ that each rule chose.

        ope/ESTIMATOR/POLICY/value|low|high, difference/REFERENCE/POLICY/value|low|high, lambda/RULE/BASE/FAMILY/POLICY.
        """
        differences = self.comparison.drop_nulls("reference").to_dicts()
        named_rows = [(f"ope/{keyed(one)}/{one['target_policy']}", one) for one in self.estimates["estimates"]]
        named_rows += [(f"difference/{one['reference']}/{one['target_policy']}", one) for one in differences]
        for name, row in named_rows:
            yield from ((f"{name}/{end}", row[end], 0) for end in ENDS if row[end] is not None)
        yield from chosen(self.curve)

    def tags(self) -> dict[str, object]:
        """Verdicts, decisions, and what they are about."""
        verdicts = {f"verdict/{policy}": one["verdict"] for policy, one in self.diagnostics.items()}
        passed = {f"gate/{policy}": "passes" if one["passes"] else "refused" for policy, one in self.decision.items()}
        shared = {name: self.estimates[name] for name in ("estimand", "input_digest", "code_version")}
        return {**shared, **verdicts, **passed, "git_commit": commit()}

    def sentence(self) -> str:
        """Who passes the gate."""
        passed = [policy for policy, one in self.decision.items() if one["passes"]]
        return f"passes the gate: {', '.join(passed)}" if passed else "no policy passes the gate"

    def table(self) -> list[dict[str, str]]:
        """A row per policy and estimator."""
        return [
            {
                "policy": one["target_policy"],
                "estimator": named(one),
                "value": number(one["value"]),
                "interval": interval(one["low"], one["high"]),
                "verdict": one["verdict"],
            }
            for one in self.estimates["estimates"]
        ]

    def markdown(self) -> str:
        """The gate's decisions with their reasons, and what was noted about the log."""
        lines = [f"# {plain(self.sentence())}", f"Estimand: {plain(self.estimates['estimand'])}.", ""]
        for policy, one in self.decision.items():
            against = "what served" if one["reference"] == LOGGING else one["reference"]
            gap = f"{number(one['value'], signed=True)} {interval(one['low'], one['high'], signed=True)}"
            lines.append(
                f"- **{plain(policy)}** against {plain(against)}: {plain(gap)}, verdict {plain(one['verdict'])}"
            )
            lines += [f"  - refused: {plain(reason)}" for reason in one["reasons"]]
        lines += ["", "## Notes", ""]
        lines += [f"- {plain(p)}: {plain(note)}" for p, one in self.diagnostics.items() for note in one["notes"]]
        return "\n".join(lines) + "\n"


def chosen(curve: pl.DataFrame) -> Iterator[tuple[str, float, int]]:
    """The λ that each rule chose, as metrics lambda/RULE/BASE/FAMILY/POLICY."""
    for rule in RULES:
        for row in curve.filter(f"selected_{rule}").iter_rows(named=True):
            yield f"lambda/{rule}/{row['base']}/{row['family']}/{row['target_policy']}", row["lambda"], 0


def log_answer(run: Run, answer: Answer) -> None:
    """Metrics, tags, and the files of the answer."""
    run.metrics(list(answer.metrics()))
    run.tags(answer.tags())
    for name in FILES:
        if (answer.folder / name).exists():
            run.files(answer.folder / name)

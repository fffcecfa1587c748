"""Off-policy estimates from Parquet files: load, evaluate each target policy, store, return the records."""

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from rlrec.errors import InputError
from rlrec.ope.codes import KINDS, Kind
from rlrec.ope.comparison import LOGGING, Summed, compared, logged, logged_stats, summed, summed_stats
from rlrec.ope.estimators import sndr, snips
from rlrec.ope.evaluation import Evaluation, evaluate, evaluate_stats, finite_or_null
from rlrec.ope.models import part
from rlrec.ope.planning import MIXTURES, Plan, plan, plan_of_stats
from rlrec.ope.rounds import Rounds
from rlrec.ope.segments import Segment, segments, segments_of_stats
from rlrec.ope.selection import Grade, gate, worst_of
from rlrec.ope.splitting import set_aside, tuned_on
from rlrec.ope.summary import EXACT, needed
from rlrec.ope.transforms import FAMILIES, Family, Transform
from rlrec.ope.validation import policies, require_columns
from rlrec.tables import FEEDBACK_NAMES
from tasks.artifacts import aside, digest_of
from tasks.feedback import ESTIMANDS, UNITS, Unit, chosen_column, completed, renamed
from tasks.provenance import propensities_of

IN_MEMORY_ROWS = 5_000_000  # beyond, the columns and all that is computed beside them take gigabytes
FILES = (  # what an answer may consist of
    *("estimates.json", "diagnostics.json", "decision.json", "comparison.parquet", "curve.parquet"),
    *("segments.parquet", "curve.png", "report.html"),
)
LABEL = "part of the log"  # the column that --by names
RESAMPLED_CHOICES = 100  # logs; a frequency of 1/2 is then known to 10 %
WRITTEN = (  # fields of a Record, by their names in estimates.json
    *((name, name) for name in ("target_policy", "estimator", "parameter", "value")),
    *(("standard_error", "se"), ("low", "low"), ("high", "high"), ("method", "interval"), ("validity", "validity")),
    *((name, name) for name in ("n", "n_clusters", "ess", "mean_weight", "max_weight_share", "verdict", "true_value")),
)
OF_INTERVALS = ("interval", "validity", "se", "low", "high")
OPTIONS = {
    "estimators": "--estimator",
    "methods": "--interval",
    "families": "--family",
    "half_width": "--plan",
}  # not called as the fields
SHARED = ("estimand", "level", "seed", "input_digest", "code_version")
COMPARISON_SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(("target_policy", "reference", "estimator"), pl.String()),
    **dict.fromkeys(("value", "standard_error", "level", "low", "high"), pl.Float64()),
    **dict.fromkeys(("method", "validity"), pl.String()),
}


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a log, and what is declared about it.

    Bias bounds and bounded intervals need both ends of the reward range. `kind` says what both probabilities are of.
    `actions` is how many could be shown at every position, where the log does not list its candidates.
    `loggers` holds every logging policy's probability of every shown item: their mixture stands for the propensity.
    The value is a mean per `unit`, of log rows or of requests; None is rows, but requests where `kind` needs them.
    `cluster` names the column whose values are independent of each other; None is the user, else the request.
    `families` are those of the curve beside clip; None is all of them, in one pass those that cost nothing.
    `tune` is the share of the users on whom λ is chosen; they leave everything else.
    `by` names a column of the log whose parts are asked for too; `half_width` asks for a plan of the next log.
    `items` is a table whose column `item` (or `action`) holds every action there can be; `serving` the digest of the
    configuration that will serve, which the targets' `serving_digest` must be.
    `reference` names a target policy that the others are compared with too; the gate asks for more than `margin` over
    it, or over the log's own mean reward. `notes` are said of a policy beside those that its evaluation makes;
    `provenance` is the log beside which a corpus tells of its propensities, if not that which is read.
    `one_pass` reads the files once, within `memory_limit`, and keeps sums alone; None does so for folders and for logs
    of more than `IN_MEMORY_ROWS` rows. `truth` gives values that a simulator knows.
    """

    level: float = 0.95
    seed: int = 0
    reward_min: float | None = None
    reward_max: float | None = None
    max_weight: float | None = None
    actions: int | None = None
    loggers: Path | None = None
    kind: str = "item_position"
    discount: float = 1.0
    per: str | None = None
    cluster: str | None = None
    estimators: Sequence[str] | None = None
    methods: Sequence[str] | None = None
    families: Sequence[str] | None = None
    planned_users: int | None = None
    tune: float | None = None
    by: str | None = None
    half_width: float | None = None
    items: Path | None = None
    serving: str | None = None
    reference: str | None = None
    margin: float = 0.0
    one_pass: bool | None = None
    memory_limit: str = "1GB"
    truth: dict[str, float] = field(default_factory=dict[str, float])
    notes: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    provenance: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be asked.

        Raises:
            InputError: says what to change.
        """
        if not 0 < self.level < 1:
            raise InputError(f"the level {self.level:g} is not between 0 and 1", remedy="for example --level 0.95")
        if self.tune is not None and not 0 < self.tune < 1:
            raise InputError(f"the share {self.tune:g} is not between 0 and 1", remedy="for example --tune 0.3")
        if (self.reward_min is None) != (self.reward_max is None):
            raise InputError("half a reward range", remedy="give both --reward-min and --reward-max, or neither")
        if self.kind not in KINDS:
            raise InputError(f"no kind of probability {self.kind!r}", remedy=f"choose among: {', '.join(KINDS)}")
        if strange := sorted(set(self.families or ()) - set(FAMILIES)):
            raise InputError(f"no family {strange[0]!r}", remedy=f"choose among: {', '.join(FAMILIES)}")
        if self.per is not None and self.per not in UNITS:
            raise InputError(f"no mean per {self.per!r}", remedy=f"choose among: {', '.join(UNITS)}")
        if "bootstrap_blocks" in (self.methods or ()) and self.cluster is None:
            raise InputError(
                "bootstrap_blocks draws runs of days",
                remedy="name the column that numbers or dates them: --cluster day",
            )
        if self.per == "row" and self.kind != "item_position":
            raise InputError(f"--kind {self.kind} is about whole requests", remedy="leave --per row out")

    def command(self, logs: Path, targets: Path | None) -> str:
        """The call of `rlrec ope` that asks the same; `truth`, `notes` and `provenance` have no option."""
        words = ["rlrec", "ope", "--logs", str(logs), *(() if targets is None else ("--target", str(targets)))]
        for one in fields(self):
            value = getattr(self, one.name)
            option = OPTIONS.get(one.name, "--" + one.name.replace("_", "-"))
            if one.name in ("truth", "notes", "provenance") or value is None or value == one.default:
                continue
            if one.name == "one_pass":
                words.append("--one-pass" if value else "--in-memory")
            else:
                many = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
                words += [word for single in many for word in (option, str(single))]
        return shlex.join([*words, "--out", "report"])

    @property
    def unit(self) -> Unit:
        """What the mean is over."""
        return cast("Unit", self.per or ("row" if self.kind == "item_position" else "request"))

    @property
    def reward_range(self) -> tuple[float, float] | None:
        """Both ends, or none."""
        return None if self.reward_min is None or self.reward_max is None else (self.reward_min, self.reward_max)

    def curves(self, usual: Sequence[Family]) -> Sequence[Family]:
        """The families asked for, or the usual ones; clip, which verdict and page read, is always there."""
        return cast("Sequence[Family]", tuple(dict.fromkeys(("clip", *(self.families or usual)))))

    @property
    def needs_rows(self) -> tuple[str, ...]:
        """What sums cannot answer, by its option."""
        asked = {
            "--loggers": self.loggers is not None,
            "--kind": self.kind != "item_position",
            "--actions": self.actions is not None,
            "--interval": bool(set(self.methods or ()) - {"cressie_read"}),
            "--tune": self.tune is not None,
            "--items": self.items is not None,
            "--serving": self.serving is not None,
        }
        return tuple(option for option, is_asked in asked.items() if is_asked)


@dataclass(frozen=True, eq=False)
class Answer:
    """Everything about one target policy."""

    policy: str
    evaluation: Evaluation
    summed: Summed
    logger: Summed
    segments: Sequence[Segment] = ()
    plans: Sequence[Plan] = ()

    def told(self, notes: Sequence[str]) -> dict[str, object]:
        """For `diagnostics.json`, with further notes."""
        planned = {"plan": [asdict(one) for one in self.plans]} if self.plans else {}
        return self.evaluation.to_record() | planned | {"notes": [*self.evaluation.notes, *notes]}


def estimate_from_parquet(logs: Path, targets: Path | None, out: Path, **given: Any) -> list[dict[str, object]]:
    """Write estimates, curve, comparison, decision, diagnostics, page (and segments) to `out`; a record per interval.

    Every target policy in the file is evaluated; without `targets` the log has their columns itself. Without q_hat and
    q_hat_target, DR and SNDR stay empty and their records say so. `given` are the fields of a `Question`.

    Raises:
        InputError: a file is missing or not Parquet, columns are missing, or the rows cannot be evaluated.
    """
    from tasks.report.sheet import sheet  # it brings what draws figures, which no question needs to be refused

    question = Question(**given)
    if out.exists() and not out.is_dir():
        raise InputError("the output is a file, a folder is needed", file=out, remedy="choose another --out")
    files = [file for file in (logs, targets, question.loggers) if file is not None]
    rows = [scan(file).select(pl.len()).collect().item() for file in files if not file.is_dir()]
    one_pass = question.one_pass
    if one_pass is None:
        one_pass = len(rows) < len(files) or rows[0] > IN_MEMORY_ROWS
    repeat = {
        "estimand": ESTIMANDS[question.unit],
        "level": question.level,
        "seed": question.seed,
        "input_digest": ":".join(digest_of(file) for file in files),
        "code_version": code_version(),
    }
    answers = list((from_sums if one_pass else from_rows)(logs, targets, question, repeat))
    records = [record.to_record() for one in answers for record in one.evaluation.records]
    curves = [one.evaluation.curve.insert_column(0, pl.lit(one.policy).alias("target_policy")) for one in answers]
    estimates, curve, compared_all = estimates_of(answers, question), pl.concat(curves), comparison(answers, question)
    told = propensities_of(logs, question.provenance)
    diagnostics = {
        one.policy: {**one.told(question.notes.get(one.policy, ())), "propensities": told} for one in answers
    }
    parts = None
    if question.by is not None:
        found = [{"target_policy": one.policy, **asdict(part)} for one in answers for part in one.segments]
        parts = pl.DataFrame(found, infer_schema_length=None)
    decided = decisions(compared_all, answers, question)
    page = sheet(
        estimates,
        diagnostics,
        curve,
        compared_all,
        parts,
        by=question.by,
        half_width=question.half_width,
        command=question.command(logs, targets),
        decided=decided,
    )
    write_json(out / "estimates.json", estimates)
    write_json(out / "diagnostics.json", diagnostics)
    write_json(out / "decision.json", decided)
    write(out / "curve.parquet", curve.write_parquet)
    write(out / "comparison.parquet", compared_all.write_parquet)
    if parts is None:
        (out / "segments.parquet").unlink(missing_ok=True)  # of another question
    else:
        write(out / "segments.parquet", parts.write_parquet)
    write(out / "curve.png", lambda draft: draft.write_bytes(page.curve))
    write(out / "report.html", lambda draft: draft.write_text(page.page, encoding="utf-8"))
    return records


def estimates_of(answers: Sequence[Answer], question: Question) -> dict[str, object]:
    """For `estimates.json`: what all share, a record per policy and estimator, and what was skipped and why.

    A record's first interval is in closed form; those that followed stand in its `further`.
    """
    written: dict[tuple[object, ...], dict[str, Any]] = {}
    skipped: list[dict[str, object]] = []
    for one in answers:
        for found in one.evaluation.records:
            row = found.to_record()
            if found.note is not None:
                skipped.append({name: row[name] for name in ("target_policy", "estimator")} | {"reason": found.note})
                continue
            record = {name: row[field] for field, name in WRITTEN}
            record["max_weight"] = finite_or_null(one.evaluation.diagnostics.max_weight)
            first = written.setdefault((one.policy, found.estimator, found.parameter), record | {"further": []})
            if first["interval"] != record["interval"]:
                first["further"].append({name: record[name] for name in OF_INTERVALS})
    row = answers[0].evaluation.records[0].to_record()
    shared = {"per": question.unit, **{name: row[name] for name in SHARED}}
    return {**shared, "estimates": list(written.values()), "skipped": skipped}


def from_rows(logs: Path, targets: Path | None, question: Question, repeat: dict[str, Any]) -> Iterator[Answer]:
    """Each target policy, its rows in memory."""
    source = scan(logs)
    if question.by is not None:  # before another column is read as the user, the request or the position
        by = chosen_column(question.by, source.collect_schema().names(), file=logs)
        source = source.with_columns(pl.col(by).cast(pl.String).alias(LABEL))
    logged_rows = completed(source, question.unit, question.cluster, file=logs)
    mixed = None if question.loggers is None else scan(question.loggers)
    items = None if question.items is None else catalogue(question.items)
    features = [FEEDBACK_NAMES.get(name, name) for name in (question.by, question.cluster) if name is not None]
    wanted = logged_rows if targets is None else scan(targets)
    named = "target_policy" in wanted.collect_schema().names()
    if not named:
        wanted = wanted.with_columns(target_policy=pl.lit("target"))
    for policy in policies(wanted, file=targets or logs):
        own = logged_rows.filter(pl.col("target_policy") == policy) if targets is None and named else logged_rows
        try:
            rounds = Rounds.from_tables(
                own,
                wanted,
                policy,
                loggers=mixed,
                kind=cast("Kind", question.kind),
                discount=question.discount,
                by_row=question.unit == "row",
                actions=question.actions,
                items=items,
                features=features,
                serving=question.serving,
                reward_range=question.reward_range,
                max_weight=question.max_weight,
                file=", ".join(str(file) for file in (logs, targets, question.loggers) if file is not None),
            )
        except pl.exceptions.PolarsError as fault:
            raise unreadable(logs, fault) from fault
        also, kept = list[str](), np.ones(len(rounds), dtype=bool)
        if question.tune is not None:
            kept = ~set_aside(rounds, question.tune, question.seed)
            also = tuned_on(part(rounds, ~kept), level=question.level)
            note = f"λ chosen on {rounds.clusters - len(np.unique(rounds.cluster[kept])):,} users, who left all else; "
            note += "intervals at it are of the transformed value, without its bias"
            rounds = replace(part(rounds, kept), notes=(*rounds.notes, note))
        steady = (snips if rounds.q_hat is None else sndr)(rounds)
        yield Answer(
            policy,
            evaluate(
                rounds,
                target_policy=policy,
                truth=question.truth.get(policy),
                families=question.curves(FAMILIES),
                estimators=question.estimators,
                also=also,
                methods=question.methods,
                planned_users=question.planned_users,
                resampled_choices=RESAMPLED_CHOICES,
                **repeat,
            ),
            summed(policy, steady, rounds, seed=question.seed),
            logged(rounds, seed=question.seed),
            () if question.by is None else segments(rounds, labels(own, question, file=logs)[kept], question.level),
            () if question.half_width is None else plan(rounds, question.half_width, question.level),
        )


def from_sums(logs: Path, targets: Path | None, question: Question, repeat: dict[str, Any]) -> Iterator[Answer]:
    """Each target policy, from one pass over the files."""
    if question.needs_rows:
        raise InputError(
            f"one pass knows no {', '.join(question.needs_rows)} (of the intervals, cressie_read alone)",
            file=logs,
            remedy="leave them out, or take the log into memory: --in-memory",
        )
    if "cressie_read" in (question.methods or ()) and question.reward_range is None:
        raise InputError(
            "cressie_read needs a declared reward range", file=logs, remedy="declare it: --reward-min, --reward-max"
        )
    from tasks.onepass import stats_by_policy  # it needs duckdb, which logs of usual size do without

    found = stats_by_policy(
        logs,
        targets,
        question.memory_limit,
        unit=question.unit,
        cluster=question.cluster,
        reward_range=question.reward_range,
        transforms=transforms_of(question),
        by=question.by,
    )
    for policy, stats, parts in found:
        yield Answer(
            policy,
            evaluate_stats(
                stats,
                target_policy=policy,
                truth=question.truth.get(policy),
                families=question.curves(EXACT),
                estimators=question.estimators,
                reward_range=question.reward_range,
                max_weight=question.max_weight,
                resampled_choices=RESAMPLED_CHOICES,
                **repeat,
            ),
            summed_stats(policy, "sndr" if stats.has_model else "snips", stats),
            logged_stats(stats),
            segments_of_stats(parts, question.level),
            plans=() if question.half_width is None else plan_of_stats(stats, question.half_width, question.level),
        )


def transforms_of(question: Question) -> tuple[Transform, ...]:
    """What sums must be made under."""
    of_plan = () if question.half_width is None else MIXTURES
    return tuple(dict.fromkeys((*needed(question.estimators or (), question.curves(EXACT)), *of_plan)))


def comparison(answers: Sequence[Answer], question: Question) -> pl.DataFrame:
    """Every policy and its difference to the log's own and to the reference; one by one where they were logged apart.

    Raises:
        InputError: the reference is no target policy, or has a log of its own.
    """
    wanted = [] if question.reference in (None, LOGGING) else [question.reference]
    known = [one.policy for one in answers]
    if not set(wanted) <= set(known):
        raise InputError(
            f"the reference {question.reference!r} is no target policy", column="target_policy",
            remedy=f"choose among: {', '.join((LOGGING, *known))}",
        )  # fmt: skip
    if wanted and known == wanted:
        raise InputError(
            "the reference is the only target policy", column="target_policy",
            remedy="leave --reference out, or add the policy that is to beat it",
        )  # fmt: skip
    together = all(np.array_equal(one.logger.units, answers[0].logger.units) for one in answers)
    if wanted and not together:
        raise InputError(
            "policies that were logged apart cannot be compared with one of them", column="target_policy",
            remedy="leave --reference out, or give the probabilities of all policies for one log",
        )  # fmt: skip
    rows: list[dict[str, object]] = []
    for group in [answers] if together else [[one] for one in answers]:
        found = [one.summed for one in group]
        references = [group[0].logger, *(one for one in found if one.name in wanted)]
        rows += compared(found, references, question.level, seed=question.seed)
    return pl.DataFrame(rows, schema=COMPARISON_SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None))


def decisions(compared_all: pl.DataFrame, answers: Sequence[Answer], question: Question) -> dict[str, object]:
    """For `decision.json`: may each policy take the reference's place, or that of what served? Else, why not.

    The verdict is the worse of the two policies', for a difference is no better supported than either end.
    """
    reference = question.reference or LOGGING
    grades: dict[str, Grade] = {one.policy: one.evaluation.verdict.grade for one in answers}
    found: dict[str, object] = {}
    for row in compared_all.filter(pl.col("reference") == reference).iter_rows(named=True):
        policy, low = row["target_policy"], row["low"]
        verdict = worst_of(grades[name] for name in (policy, reference) if name in grades)
        decision = gate(float("nan") if low is None else low, verdict, question.margin)
        shown = {name: row[name] for name in ("reference", "estimator", "value", "low", "high", "level")}
        found[policy] = {**asdict(decision), **shown, "margin": question.margin, "verdict": verdict}
    return found


def labels(log: pl.LazyFrame, question: Question, *, file: Path) -> np.ndarray:
    """The value of the column `by` for each row or request, in their order.

    Raises:
        InputError: it is empty, or differs within a request.
    """
    if question.unit == "row":
        frame = log.select("request", "position", LABEL).sort("request", "position").collect()
    else:
        found = log.group_by("request").agg(pl.col(LABEL).first(), varies=pl.col(LABEL).n_unique() > 1)
        frame = found.sort("request").collect()
        if wrong := int(frame["varies"].sum()):
            raise InputError(
                "requests belong to several segments", file=file, column=question.by, rows=wrong,
                remedy="one value per request",
            )  # fmt: skip
    if empty := frame[LABEL].null_count():
        raise InputError(
            f"OPE013 {question.by} is empty", file=file, column=question.by, rows=empty, remedy="name such rows"
        )
    return frame[LABEL].to_numpy()


def scan(path: Path) -> pl.LazyFrame:
    """A Parquet file, lazily, by our names of its columns, after a look at its schema.

    Raises:
        InputError: it is not there, not Parquet, or holds a column by two names.
    """
    if not path.is_file():
        raise InputError("no such file", file=path, remedy="give the path of a Parquet file")
    frame = pl.scan_parquet(path, glob=False)
    try:
        frame.collect_schema()
    except pl.exceptions.PolarsError as fault:
        raise unreadable(path, fault) from fault
    return renamed(frame, file=path)


def catalogue(path: Path) -> pl.Series:
    """Every action that a table of items knows."""
    items = scan(path)
    require_columns(items.collect_schema().names(), ("item",), "items", file=path)
    return items.select("item").collect()["item"]


def unreadable(path: Path, fault: Exception) -> InputError:
    """The error for bytes that are not a Parquet table."""
    why = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
    return InputError(
        f"the file cannot be read as Parquet: {why}", file=path, remedy="write the table again, as Parquet"
    )


def write(target: Path, fill: Callable[[Path], object]) -> None:
    """Fill a draft beside the target, then rename it."""
    with aside(target) as draft:
        fill(draft)


def write_json(target: Path, content: object) -> None:
    """The content as JSON, which knows no number that is not finite."""
    text = json.dumps(content, indent=2, allow_nan=False)
    write(target, lambda draft: draft.write_text(text + "\n", encoding="utf-8"))


def code_version() -> str | None:
    """The installed version, if the package is installed."""
    try:
        return version("rlrec")
    except PackageNotFoundError:
        return None

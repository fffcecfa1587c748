"""Registered policies over any logged table: TARGETS of them all, then one answer, paired and simultaneous."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.estimates import Question, estimate_from_parquet
from tasks.feedback import Unit
from tasks.promote import find_version
from tasks.served import Moment, Served
from tasks.settings import explained
from tasks.targets import known_to_all, read_log, write_targets

TARGETS_FILE = "targets.parquet"
ASKED_OF_THE_LOG = ("level", "seed", "per", "reward_min", "reward_max", "max_weight", "margin", "memory_limit")


class Judging(BaseModel):
    """Which registered policies to judge on which log."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    models: Annotated[tuple[str, ...], Field(min_length=1)]
    """Policies in the registry: NAME@alias or NAME/version."""
    logs: str
    """A Parquet file of shown items (docs/ope.md) with user_id and action, or a corpus with logged slates."""
    out: str
    """The folder for targets, estimates, curve, comparison, decision and page."""
    reference: str | None = None
    """The policy that the others must beat, NAME@alias or NAME/version; else what served."""
    contexts: Moment = "deployed"
    """What policies know when they decide: `deployed`, as they rank now; `serving`, as of their own evaluation log."""
    vocabulary: str | None = None
    """The corpus whose dense ids the log has, where it is not the log's own."""
    leave_out_unknown: bool = False
    """Judge on the other users alone where a policy does not know some; the share is told."""
    margin: float = 0.0
    """By how much the lower end of a difference must exceed 0."""
    per: Unit = "request"
    """The value is a mean per row, or per request of the sum over its rows."""
    level: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    """Confidence level of the intervals."""
    reward_min: float | None = None
    """The least reward there can be; with the greatest it bounds the bias."""
    reward_max: float | None = None
    """The greatest reward there can be."""
    max_weight: float | None = None
    """The greatest target probability over propensity there can be, where one is proven."""
    prefixes: Annotated[int, Field(ge=100)] = 2_000
    """Sampled prefixes behind the position marginals of the policies."""
    seed: int = 0
    """Seed of those samples and of the bootstrap."""
    memory_limit: str = "1GB"
    """What one pass over a large log may use."""

    @staticmethod
    def of(**given: object) -> "Judging":
        """What was asked, as a command line gives it.

        Raises:
            InputError: a value that does not fit, with what would.
        """
        try:
            return Judging.model_validate(given)
        except ValidationError as fault:
            raise explained(fault, None, Judging) from fault

    @property
    def name(self) -> str:
        """What is judged, in short."""
        return f"judge {', '.join(self.models)}"


def judge(asked: Judging) -> list[dict[str, Any]]:
    """Write `targets.parquet` and everything that `rlrec ope` writes into `out`; return a record per interval.

    Policies are named NAME/version, whichever alias was asked for.

    Raises:
        InputError: no such policy, a log that cannot be read or judged, or users that a policy does not know.
    """
    out, settings = Path(asked.out), asked.model_dump(include=set(ASKED_OF_THE_LOG))
    Question(**settings)  # refuses what cannot be asked before anything is made
    reference = None if asked.reference is None else version_of(asked.reference)
    versions = [version_of(model) for model in asked.models] + ([] if reference is None else [reference])
    vocabulary = None if asked.vocabulary is None else Path(asked.vocabulary)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        policies = [Served.of(version, asked.contexts, scratch) for version in dict.fromkeys(versions)]
        whole = read_log(Path(asked.logs), vocabulary)
        log, notes = known_to_all(whole, policies, out, leave_out=asked.leave_out_unknown)
        write_targets(log, policies, asked.prefixes, asked.seed, out / TARGETS_FILE)
        return estimate_from_parquet(
            log.file,
            out / TARGETS_FILE,
            out,
            reference=reference,
            provenance=whole.file,
            notes={one.name: [one.note, *notes] for one in policies},
            **settings,
        )


def version_of(model: str) -> str:
    """`NAME/version` of `NAME@alias` or `NAME/version`."""
    return find_version(model)[0].removeprefix("models:/")

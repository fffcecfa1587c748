"""One frozen dataclass per .sql file: the file's name, and the values of its $named parameters."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

SQL = Path(__file__).resolve().parent.parent / "sql"

Value = str | int | float | list[str]
ASCII_BLANKS = " \t\n\r\v\f"
EARLIEST, LATEST = 0, 4_102_444_800  # 1970-01-01 and 2100-01-01, seconds UTC
YEAR_2000 = 946_684_800  # seconds UTC: late enough that seconds read as milliseconds are seen to be earlier


@dataclass(frozen=True, kw_only=True)
class Query:
    """A statement and what it is run with; paths are handed over as text."""

    file: ClassVar[str]

    @property
    def text(self) -> str:
        """The statement."""
        return (SQL / self.file).read_text()

    @property
    def parameters(self) -> dict[str, Value]:
        """Parameter name to value."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}


def plain(value: object) -> Value:
    """What DuckDB binds: paths become text, tuples lists."""
    if isinstance(value, tuple):
        return [str(part) for part in value]
    return value if isinstance(value, (int, float)) else str(value)


@dataclass(frozen=True, kw_only=True)
class Stage(Query):
    """A staging statement: it reads `block`, some records of a raw file, and types and judges each of them.

    It gives the columns of its `table` (sql/staging/README.md), `line`, and why a row is rejected or dropped.
    `several`: a record may give more than one row; `with_place`: in an order that counts, told by the column `place`.
    """

    table: ClassVar[str]
    several: ClassVar[bool] = False
    with_place: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class Own(Stage):
    """Somebody's own log: the statement reads what `own_typed.sql` makes of a record, whose columns are trimmed text.

    `roles` and `columns` say, place by place, which column of the file plays which role.
    """

    roles: tuple[str, ...]
    columns: tuple[str, ...]
    paths: tuple[str, ...] = ()
    """For JSON lines: a JSON pointer for each column that `own_json.sql` gives."""
    trimmed: bool = False
    """Whether the columns are text without blanks around it; else `own_trimmed.sql` makes them so."""
    clock: str = "none"
    per_second: int = 1
    pattern: str = "%Y"
    zoned: bool = False
    zone: str = "UTC"
    earliest: int = EARLIEST
    latest: int = LATEST
    behaviour: str = ""
    behaviours: tuple[str, ...] = ("",)
    behaviour_values: tuple[str, ...] = ("",)
    others: str = "reject"
    blanks: str = ASCII_BLANKS
    decimal: str = ""
    """What stands for the point in numbers, where it is none: `own_decimals.sql` mends them."""

    @property
    def text(self) -> str:
        """The statement, with what it reads in place of the raw block."""
        mend = ("staging/own_decimals.sql",) if self.decimal else ()
        trim = () if self.trimmed else ("staging/own_trimmed.sql",)
        inner = (*mend, *trim, *(("staging/own_json.sql",) if self.paths else ()))
        text = super().text
        for file in ("staging/own_typed.sql", *inner):
            text = f"with block as (\n{(SQL / file).read_text()}\n)\n\nselect * from (\n{text}\n)"
        return text

    @property
    def parameters(self) -> dict[str, Value]:
        """Parameter name to value, of those that the statement names."""
        named = set(re.findall(r"\$(\w+)", self.text))
        return {name: value for name, value in super().parameters.items() if name in named}


@dataclass(frozen=True, kw_only=True)
class OwnEvents(Own):
    """Events. `valued`: ratings must carry a value."""

    file = "staging/own_events.sql"
    table = "events"
    valued: bool = False


@dataclass(frozen=True, kw_only=True)
class OwnSlates(Own):
    """Shown items. `reward_by` is column, weight (of the behaviour) or threshold (of the value)."""

    file = "staging/own_slates.sql"
    table = "slates"
    behaved: bool = False
    placed: bool = False
    first_position: int = 0
    reward_by: str = "column"
    rewarding_role: str = "reward"
    weights: tuple[str, ...] = ("0",)
    weighted_behaviours: tuple[str, ...] = ("",)
    threshold: float = 0.0
    propensity_kind: str = "item_position"
    logging_policy: str = "unknown"
    logging_policy_version: str = "unknown"
    candidates_given: bool = False
    propensities_given: bool = False
    list_separator: str = "|"


@dataclass(frozen=True, kw_only=True)
class Buckets(Query):
    """Where the rows of the users in the relation `names` go."""

    file = "staging/buckets.sql"
    buckets: int


@dataclass(frozen=True, kw_only=True)
class NewUsers(Query):
    """Users to add to VOCABULARY."""

    file = "base/new_users.sql"
    names: tuple[str, ...]
    triples: tuple[str, ...]
    known: tuple[str, ...]
    last: int


@dataclass(frozen=True, kw_only=True)
class NewItems(Query):
    """Items to add to VOCABULARY."""

    file = "base/new_items.sql"
    names: tuple[str, ...]
    items: tuple[str, ...]
    triples: tuple[str, ...]
    dialogues: tuple[str, ...]
    known: tuple[str, ...]
    last: int


@dataclass(frozen=True, kw_only=True)
class NewEntities(Query):
    """Entities to add to VOCABULARY."""

    file = "base/new_entities.sql"
    items: tuple[str, ...]
    links: tuple[str, ...]
    triples: tuple[str, ...]
    vocabulary: tuple[str, ...]
    known: tuple[str, ...]
    linked: bool
    no_genre: str
    last: int


@dataclass(frozen=True, kw_only=True)
class NewSessions(Query):
    """Sessions or requests to add to VOCABULARY."""

    file = "base/new_sessions.sql"
    kind: str
    names: tuple[str, ...]
    known: tuple[str, ...]
    last: int


@dataclass(frozen=True, kw_only=True)
class NumberedNames(Query):
    """The ids of the names of one kind, by their keys."""

    file = "base/numbered_names.sql"
    kind: str
    names: tuple[str, ...]
    vocabulary: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BaseRows(Query):
    """Rows of one bucket from the relation `rows`, with the period of each."""

    file = "base/rows.sql"
    grain: str


@dataclass(frozen=True, kw_only=True)
class LinkedPairs(Query):
    """Pairs of items that the knowledge graph joins closely."""

    file = "base/linked_pairs.sql"
    items: tuple[str, ...]
    links: tuple[str, ...]
    knowledge: tuple[str, ...]
    no_genre: str
    largest_node: int
    most_pairs: int


@dataclass(frozen=True, kw_only=True)
class Vocabulary(Query):
    """The table VOCABULARY."""

    file = "marts/vocabulary.sql"
    base: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Items(Query):
    """The table ITEMS."""

    file = "marts/items.sql"
    items: tuple[str, ...]
    vocabulary: Path
    no_genre: str


@dataclass(frozen=True, kw_only=True)
class Events(Query):
    """The table EVENTS, with `repeat`."""

    file = "marts/events.sql"
    base: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DistinctPairs(Query):
    """Each pair of user and item once."""

    file = "views/distinct_pairs.sql"
    events: Path


@dataclass(frozen=True, kw_only=True)
class ShuffledEvents(Query):
    """Events that have no times, in an order that is drawn."""

    file = "views/shuffled_events.sql"
    events: Path
    seed: int


@dataclass(frozen=True, kw_only=True)
class OrderedSplits(Query):
    """What a protocol has placed, in the order of the events."""

    file = "views/ordered_splits.sql"
    splits: Path


@dataclass(frozen=True, kw_only=True)
class LoggedSlates(Query):
    """The table LOGGED_SLATES."""

    file = "marts/logged_slates.sql"
    base: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Candidates(Query):
    """The table CANDIDATES."""

    file = "marts/candidates.sql"
    base: tuple[str, ...]
    vocabulary: Path


@dataclass(frozen=True, kw_only=True)
class Facts(Query):
    """The facts of which TRIPLES is made."""

    file = "marts/facts.sql"
    triples: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Triples(Query):
    """The table TRIPLES."""

    file = "marts/triples.sql"
    vocabulary: Path
    items: Path
    knowledge: Path
    links: tuple[str, ...]
    linked: bool


@dataclass(frozen=True, kw_only=True)
class Identifiers(Query):
    """The table IDENTIFIERS."""

    file = "marts/identifiers.sql"
    identifiers: tuple[str, ...]
    vocabulary: Path


@dataclass(frozen=True, kw_only=True)
class Dialogues(Query):
    """The table DIALOGUES."""

    file = "marts/dialogues.sql"
    dialogues: tuple[str, ...]
    vocabulary: Path


@dataclass(frozen=True, kw_only=True)
class OpePolicies(Query):
    """The target policies of the relation `targets`."""

    file = "ope/policies.sql"


@dataclass(frozen=True, kw_only=True)
class OpeJoined(Query):
    """The relation `log` beside the rows of one target policy in the relation `targets`."""

    file = "ope/joined.sql"
    target_policy: str


@dataclass(frozen=True, kw_only=True)
class OpeShown(Query):
    """The rows of one target policy in the relation `feedback`, each with its shard: what the others call `shown`."""

    file = "ope/shown.sql"
    target_policy: str
    shards: int


@dataclass(frozen=True, kw_only=True)
class OpeCells(Query):
    """The sums of a log, by shard of users, position and bucket of weights."""

    file = "ope/cells.sql"
    buckets: int
    per_octave: int
    first_octave: int
    reward_min: float
    reward_max: float


@dataclass(frozen=True, kw_only=True)
class OpeBent(Query):
    """The sums under transforms of the weights, given as pairs of a family and a parameter."""

    file = "ope/bent.sql"
    families: tuple[str, ...]
    lambdas: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OpeSegmentNames(Query):
    """The parts of a log."""

    file = "ope/segment_names.sql"


@dataclass(frozen=True, kw_only=True)
class OpeSegments(Query):
    """The sums of each part of a log, by shard of users and, unless each row is a request, position."""

    file = "ope/segments.sql"
    by_row: bool


@dataclass(frozen=True, kw_only=True)
class OpeSegmentRequests(Query):
    """The requests of each part and shard, where they have several rows."""

    file = "ope/segment_requests.sql"


@dataclass(frozen=True, kw_only=True)
class OpeRising(Query):
    """The requests of each shard, by comparing each row to the one before: without memory, if the log is in order."""

    file = "ope/rising.sql"


@dataclass(frozen=True, kw_only=True)
class OpeRequests(Query):
    """The requests of each shard, and those that contradict themselves, whatever the order of the log."""

    file = "ope/requests.sql"


@dataclass(frozen=True, kw_only=True)
class OpeHeaviest(Query):
    """The largest weights."""

    file = "ope/heaviest.sql"
    heaviest: int


@dataclass(frozen=True, kw_only=True)
class OpeRepeatedEvents(Query):
    """Events with more than one row."""

    file = "ope/repeated_events.sql"


@dataclass(frozen=True, kw_only=True)
class OpeUnfitRows(Query):
    """Rows that cannot be evaluated, by code."""

    file = "ope/unfit_rows.sql"
    reward_min: float
    reward_max: float


@dataclass(frozen=True, kw_only=True)
class Quarantine(Query):
    """The table QUARANTINE."""

    file = "marts/quarantine.sql"
    base: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DenseIds(Query):
    """Check: ids are 1 to their number."""

    file = "checks/dense_ids.sql"
    vocabulary: Path


@dataclass(frozen=True, kw_only=True)
class RepeatedNames(Query):
    """Check: a name stands in the vocabulary once."""

    file = "checks/repeated_names.sql"
    vocabulary: Path


@dataclass(frozen=True, kw_only=True)
class DanglingIds(Query):
    """Check: every id is in the vocabulary."""

    file = "checks/dangling_ids.sql"
    events: Path
    items: Path
    triples: Path
    vocabulary: Path


@dataclass(frozen=True, kw_only=True)
class DanglingActions(Query):
    """Check: every shown item is in the vocabulary."""

    file = "checks/dangling_actions.sql"
    slates: Path
    vocabulary: Path


@dataclass(frozen=True, kw_only=True)
class DisorderedEvents(Query):
    """Check: events are numbered in the order of time."""

    file = "checks/disordered_events.sql"
    events: Path


@dataclass(frozen=True, kw_only=True)
class UnsplitEvents(Query):
    """Check: each protocol places each event once."""

    file = "checks/unsplit_events.sql"
    events: Path
    splits: Path


@dataclass(frozen=True, kw_only=True)
class LeakedEdges(Query):
    """Check: a graph to learn from joins no user and item that only later slices do."""

    file = "checks/leaked_edges.sql"
    edges: Path
    events: Path
    splits: Path
    protocol: str
    slices: tuple[str, ...] = ("train",)


@dataclass(frozen=True, kw_only=True)
class LeakedCounts(Query):
    """Check: an item's popularity to learn from counts no user of later slices."""

    file = "checks/leaked_counts.sql"
    counts: Path
    events: Path
    splits: Path
    protocol: str
    slices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LeakedSlates(Query):
    """Check: a propensity model learned from no slate that is held out."""

    file = "checks/leaked_slates.sql"
    learned: Path
    events: Path
    splits: Path
    by_user: str
    at_once: str
    until: str = "infinity"

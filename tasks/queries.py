"""One frozen dataclass per .sql file: the file's name, and the values of its $named parameters."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

SQL = Path(__file__).resolve().parent.parent / "sql"

Value = str | int | float | list[str]


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
class StageLines(Query):
    """What all staging has in common: numbered lines, how to split them, and the file's name for the quarantine."""

    lines: Path
    file_name: str
    separator: str
    header_lines: int
    width: int


@dataclass(frozen=True, kw_only=True)
class StageRatings(StageLines):
    """Ratings, typed and judged."""

    file = "staging/movielens_ratings.sql"
    user_field: int
    item_field: int
    value_field: int
    seconds_field: int
    lowest: int
    highest: int
    earliest: int
    latest: int


@dataclass(frozen=True, kw_only=True)
class StageFlaggedItems(StageLines):
    """Items whose genres are flags."""

    file = "staging/movielens_items_flags.sql"
    item_field: int
    title_field: int
    flags_field: int
    genres: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StageNamedItems(StageLines):
    """Items whose genres are words; `year_field` 0 means that the title holds the year."""

    file = "staging/movielens_items_named.sql"
    item_field: int
    title_field: int
    year_field: int
    genres_field: int
    genre_separator: str


@dataclass(frozen=True, kw_only=True)
class StageLinks(StageLines):
    """Which entity of the knowledge graph an item is."""

    file = "staging/knowledge_links.sql"
    item_field: int
    entity_field: int


@dataclass(frozen=True, kw_only=True)
class StageTriples(StageLines):
    """Facts of the knowledge graph."""

    file = "staging/knowledge_triples.sql"
    head_field: int
    relation_field: int
    tail_field: int


@dataclass(frozen=True, kw_only=True)
class LineCounts(Query):
    """What became of a file's lines."""

    file = "staging/line_counts.sql"
    lines: Path
    staged: Path
    header_lines: int


@dataclass(frozen=True, kw_only=True)
class RejectCounts(Query):
    """Why a file's lines were rejected."""

    file = "staging/reject_counts.sql"
    staged: Path


@dataclass(frozen=True, kw_only=True)
class LinkedPairs(Query):
    """Pairs of items that the knowledge graph joins closely."""

    file = "staging/linked_pairs.sql"
    items: Path
    links: Path
    knowledge: Path
    no_genre: str
    largest_node: int
    most_pairs: int


@dataclass(frozen=True, kw_only=True)
class Vocabulary(Query):
    """The table VOCABULARY."""

    file = "marts/vocabulary.sql"
    ratings: Path
    items: Path
    links: Path
    knowledge: Path
    no_genre: str
    linked: bool


@dataclass(frozen=True, kw_only=True)
class Items(Query):
    """The table ITEMS."""

    file = "marts/items.sql"
    items: Path
    vocabulary: Path
    year_pattern: str
    no_genre: str


@dataclass(frozen=True, kw_only=True)
class Events(Query):
    """The table EVENTS."""

    file = "marts/events.sql"
    ratings: Path
    vocabulary: Path


@dataclass(frozen=True, kw_only=True)
class Triples(Query):
    """The table TRIPLES."""

    file = "marts/triples.sql"
    vocabulary: Path
    items: Path
    links: Path
    knowledge: Path
    linked: bool


@dataclass(frozen=True, kw_only=True)
class Quarantine(Query):
    """The table QUARANTINE."""

    file = "marts/quarantine.sql"
    staged: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class LostLines(Query):
    """Check: every line is staged once."""

    file = "checks/lost_lines.sql"
    lines: Path
    staged: Path
    header_lines: int


@dataclass(frozen=True, kw_only=True)
class LostFacts(Query):
    """Check: every accepted line became a row."""

    file = "checks/lost_facts.sql"
    ratings: Path
    knowledge: Path
    events: Path
    triples: Path


@dataclass(frozen=True, kw_only=True)
class DenseIds(Query):
    """Check: ids are 1 to their number."""

    file = "checks/dense_ids.sql"
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

"""MovieLens in its publisher's layouts, and as RecBole's atomic files; ids are positive whole numbers."""

from dataclasses import dataclass

from tasks.queries import EARLIEST, LATEST, Stage

YEAR_PATTERN = r"\s*\(([0-9]{4})\)\s*(?:\([A-Za-z]+\))?\s*$"  # "Toy Story (1995)", "... (1995) (V)"


@dataclass(frozen=True, kw_only=True)
class Ratings(Stage):
    """Ratings in stars."""

    file = "staging/movielens_ratings.sql"
    table = "events"
    lowest: float = 1.0
    highest: float = 5.0
    step: float = 1.0
    earliest: int = EARLIEST
    latest: int = LATEST


@dataclass(frozen=True, kw_only=True)
class FlaggedItems(Stage):
    """Items whose genres are flags."""

    file = "staging/movielens_items_flags.sql"
    table = "items"
    genres: tuple[str, ...]
    year_pattern: str = YEAR_PATTERN


@dataclass(frozen=True, kw_only=True)
class NamedItems(Stage):
    """Items whose genres are words."""

    file = "staging/movielens_items_named.sql"
    table = "items"
    genre_separator: str = "|"
    no_genre: str = "(no genres listed)"
    year_pattern: str = YEAR_PATTERN


@dataclass(frozen=True, kw_only=True)
class Links(Stage):
    """Which entity of the knowledge graph an item is."""

    file = "staging/knowledge_links.sql"
    table = "links"


@dataclass(frozen=True, kw_only=True)
class Triples(Stage):
    """Facts of the knowledge graph."""

    file = "staging/knowledge_triples.sql"
    table = "triples"

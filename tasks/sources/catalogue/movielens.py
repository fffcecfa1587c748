"""MovieLens in its publisher's layouts, and as RecBole's atomic files; ids are positive whole numbers."""

from dataclasses import dataclass

from tasks.queries import EARLIEST, LATEST, Stage
from tasks.sources.catalogue.bundle import Bundle, Part
from tasks.sources.registry import RawFile

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
class Users(Stage):
    """What users told about themselves; occupations are words, or numbers of these."""

    file = "staging/movielens_users.sql"
    table = "triples"
    several = True
    occupations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Links(Stage):
    """Which entity of the knowledge graph an item is; items are numbered from `least` on."""

    file = "staging/knowledge_links.sql"
    table = "links"
    least: int = 1


@dataclass(frozen=True, kw_only=True)
class Triples(Stage):
    """Facts of the knowledge graph."""

    file = "staging/knowledge_triples.sql"
    table = "triples"


@dataclass(frozen=True, kw_only=True)
class Identifiers(Stage):
    """What IMDb and TMDB call an item."""

    file = "staging/movielens_links.sql"
    table = "identifiers"
    several = True


@dataclass(frozen=True, kw_only=True)
class Tags(Stage):
    """Tags as facts about items."""

    file = "staging/movielens_tags.sql"
    table = "triples"
    earliest: int = EARLIEST
    latest: int = LATEST


LICENCE = (
    "MovieLens (Harper and Konstan 2015): research use, acknowledge; see the README of each set for redistribution."
)
HALF_STARS = Ratings(lowest=0.5, step=0.5)
LATEST_SETS = Bundle(
    "ml-latest",
    "MovieLens latest, 20M, 25M, 32M: ratings, films, tags, links",
    (
        Part(
            RawFile(
                "ratings.csv",
                ",",
                ("userId", "movieId", "rating", "timestamp"),
                header=True,
                called=("user_id", "item_id", "rating", "timestamp"),
            ),
            HALF_STARS,
        ),
        Part(
            RawFile(
                "movies.csv",
                ",",
                ("movieId", "title", "genres", "year"),
                header=True,
                quote='"',
                optional=("year",),
                called=("item_id", "movie_title", "genres", "release_year"),
            ),
            NamedItems(),
        ),
        Part(
            RawFile(
                "links.csv",
                ",",
                ("movieId", "imdbId", "tmdbId"),
                header=True,
                called=("item_id", "imdb_id", "tmdb_id"),
            ),
            Identifiers(),
            optional=True,
        ),
        Part(
            RawFile(
                "tags.csv",
                ",",
                ("userId", "movieId", "tag", "timestamp"),
                header=True,
                quote='"',
                called=("user_id", "item_id", "tag", "timestamp"),
            ),
            Tags(),
            optional=True,
        ),
    ),
    LICENCE,
)
TEN_MILLION = Bundle(
    "ml-10m",
    "MovieLens 10M: ratings, films, tags",
    (
        Part(RawFile("ratings.dat", "::", ("user_id", "item_id", "rating", "timestamp")), HALF_STARS),
        Part(
            RawFile(
                "movies.dat",
                "::",
                ("item", "title", "genres", "year"),
                optional=("year",),
                called=("item_id", "movie_title", "genres", "release_year"),
            ),
            NamedItems(),
        ),
        Part(RawFile("tags.dat", "::", ("user_id", "item_id", "tag", "timestamp")), Tags(), optional=True),
    ),
    LICENCE,
)
MOVIELENS = (LATEST_SETS, TEN_MILLION)

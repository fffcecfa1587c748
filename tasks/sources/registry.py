"""Which datasets can be fetched by name: their publishers' layouts, addresses, terms and verified hashes.

Hashes are of the files inside the archives, uncompressed, and only of files that were opened and compared.
"""

import re
from dataclasses import dataclass
from typing import Literal

MAX_REJECT_SHARE = 0.01
NOT_PLAIN = re.compile(r"[^a-z0-9_]")

MOVIELENS_LICENCE = (
    "MovieLens data, GroupLens Research, University of Minnesota: research use only, no redistribution and no "
    "commercial use without permission, acknowledge the source (Harper and Konstan 2015, doi:10.1145/2827872)."
)
KNOWLEDGE_LICENCE = (
    "Knowledge graph: Freebase facts (CC BY), linked to MovieLens by KB4Rec "
    "(Zhao et al. 2019, doi:10.1162/dint_a_00008)."
)


@dataclass(frozen=True)
class RawFile:
    """One raw file: its name, how a record is split, what its columns are called, and its verified SHA-256.

    `kind` is `fields` (separated text), `lines` (the whole line is the one column `raw`) or `parquet`. `optional`
    columns may be missing from the header, and are null then. A file without a header has `labels` in its place, or
    exactly the required columns. ASCII blanks around a field are no part of it where fields are `trimmed`. SQL
    calls a column by its name up to the colon, or as it is `called`.
    """

    name: str
    separator: str
    columns: tuple[str, ...]
    header: bool = False
    encoding: str = "utf-8"
    sha256: str | None = None
    quote: str = ""
    kind: Literal["fields", "lines", "parquet"] = "fields"
    optional: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    numeric: bool = True
    labels: tuple[str, ...] = ()
    trimmed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What SQL calls the columns, in their order."""
        return self.called or tuple(NOT_PLAIN.sub("_", name.partition(":")[0].lower()) for name in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that a file must have."""
        return tuple(name for name in self.columns if name not in self.optional)


def text_lines(name: str, *, encoding: str = "utf-8") -> RawFile:
    """A file whose lines SQL takes apart: lists, JSON lines. The one column is `raw`."""
    return RawFile(name, "", ("raw",), kind="lines", encoding=encoding)


@dataclass(frozen=True)
class Layout:
    """One publisher's form of a dataset. Genres are 0/1 `flags` in the item file's last columns, or separated words.

    The file of users may lack. Their occupations are words, or numbers of `occupations`.
    """

    name: str
    ratings: RawFile
    items: RawFile
    users: RawFile
    occupations: tuple[str, ...] = ()
    genre_separator: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A knowledge graph: its facts, and which of its entities are items."""

    knowledge: RawFile
    links: RawFile


@dataclass(frozen=True)
class Wheel:
    """A PyPI wheel that carries data: opened as a zip, never installed, never imported. Ratings only with a layout."""

    requirement: str
    graph: Graph
    layout: str | None = None


@dataclass(frozen=True)
class Dataset:
    """What can be fetched by name, in which layouts, from where, and on which terms."""

    name: str
    title: str
    url: str
    layouts: tuple[Layout, ...]
    licence: str
    graphs: tuple[Graph, ...]
    wheel: Wheel

    def layout(self, name: str) -> Layout:
        """The layout of that name."""
        return next(layout for layout in self.layouts if layout.name == name)


def graph(name: str, knowledge_sha256: str | None = None, links_sha256: str | None = None) -> Graph:
    """A knowledge graph as atomic files of that name."""
    columns = ("head_id:token", "relation_id:token", "tail_id:token")
    return Graph(
        RawFile(f"{name}.kg", "\t", columns, header=True, sha256=knowledge_sha256),
        RawFile(f"{name}.link", "\t", ("item_id:token", "entity_id:token"), header=True, sha256=links_sha256),
    )


FREEBASE = graph(
    "ml-100k",
    "200a0636fa07c218119a42e5bac7aa3e26e3665a6f919c1b22909bd412b14779",
    "524dca2c3d62619688ab99b3ec53ea2acb9b64d38eafec3e02bdd0dc6bb7d948",
)
"""Named after ML-100K, but the items it links have the ids of ML-1M. Source: RUCAIBox/RecSysDatasets, issue 130."""

RECBOLE = "recbole==1.2.1"
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The flags of u.item, in order. Source: u.genre of ML-100K."""
FLAGS = tuple(f"flag_{place}" for place in range(len(GENRES)))
USER = ("user_id", "age", "gender", "occupation", "zip_code")
OCCUPATIONS = (
    "other", "educator", "artist", "clerical", "student", "customer service", "doctor", "executive", "farmer",
    "homemaker", "K-12 student", "lawyer", "programmer", "retired", "salesman", "scientist", "self-employed",
    "engineer", "craftsman", "unemployed", "writer",
)  # fmt: skip
"""By their numbers in users.dat, in short. Source: README of ML-1M."""
NO_GENRE = "unknown"  # u.genre's first entry: says nothing about a film, so it is no category and no fact

ML_100K = Dataset(
    "ml-100k",
    "MovieLens 100K: 100,000 ratings of 943 users on 1,682 films, 1997-1998",
    "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
    (
        Layout(
            "official",
            RawFile(
                "u.data",
                "\t",
                ("user_id", "item_id", "rating", "timestamp"),
                sha256="06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
            ),
            RawFile(
                "u.item",
                "|",
                ("item", "title", "release date", "video release date", "url", *GENRES),
                encoding="latin-1",
                called=("item_id", "movie_title", "released", "released_on_video", "url", *FLAGS),
                sha256="553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
            ),
            RawFile(
                "u.user",
                "|",
                ("user", "age", "gender", "occupation", "zip code"),
                called=USER,
                sha256="f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c",
            ),
            flags=GENRES,
        ),
        Layout(
            "atomic",
            RawFile(
                "ml-100k.inter",
                "\t",
                ("user_id:token", "item_id:token", "rating:float", "timestamp:float"),
                header=True,
                sha256="4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
            ),
            RawFile(
                "ml-100k.item",
                "\t",
                ("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq"),
                header=True,
                called=("item_id", "movie_title", "release_year", "genres"),
                sha256="51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            ),
            RawFile(
                "ml-100k.user",
                "\t",
                ("user_id:token", "age:token", "gender:token", "occupation:token", "zip_code:token"),
                header=True,
                called=USER,
                sha256="4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
            ),
            genre_separator=" ",
        ),
    ),
    f"{MOVIELENS_LICENCE} {KNOWLEDGE_LICENCE}",
    (FREEBASE,),
    Wheel(RECBOLE, FREEBASE, layout="atomic"),
)

ML_1M = Dataset(
    "ml-1m",
    "MovieLens 1M: 1,000,209 ratings of 6,040 users on 3,706 films, 2000-2003",
    "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
    (
        Layout(
            "official",
            RawFile("ratings.dat", "::", ("user_id", "item_id", "rating", "timestamp")),
            RawFile(
                "movies.dat",
                "::",
                ("item", "title", "genres", "year"),
                encoding="latin-1",
                optional=("year",),
                called=("item_id", "movie_title", "genres", "release_year"),
                sha256="0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9",
            ),
            RawFile("users.dat", "::", ("user_id", "gender", "age", "occupation", "zip_code")),
            OCCUPATIONS,
            genre_separator="|",
        ),
    ),
    f"{MOVIELENS_LICENCE} {KNOWLEDGE_LICENCE}",
    (graph("ml-1m"), FREEBASE),
    Wheel(RECBOLE, FREEBASE),
)

DATASETS = {dataset.name: dataset for dataset in (ML_100K, ML_1M)}


def hashes(dataset: Dataset) -> dict[str, str | None]:
    """The verified SHA-256 of every file that the dataset may consist of, where there is one."""
    return {name: form.sha256 for name, form in raw_files(dataset).items()}


def raw_files(dataset: Dataset) -> dict[str, RawFile]:
    """Every file that the dataset may consist of, by name."""
    forms = [form for layout in dataset.layouts for form in (layout.ratings, layout.items, layout.users)]
    forms += [form for graph in dataset.graphs for form in (graph.knowledge, graph.links)]
    return {form.name: form for form in forms}

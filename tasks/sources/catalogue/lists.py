"""Lists: a line is a user and all their items, or a session; PGPR's relation files, in which a line is a head.

Also statements for lists that stand in a column.
"""

from dataclasses import dataclass

from tasks.queries import Stage
from tasks.sources.catalogue.bundle import Bundle, Part
from tasks.sources.registry import text_lines

BLANKS = "[ \\t]+"


@dataclass(frozen=True, kw_only=True)
class UserItems(Stage):
    """`user item item ...`."""

    file = "staging/user_items.sql"
    table = "events"
    several = True
    with_place = True
    behaviour: str
    separator: str = BLANKS
    id_pattern: str = "[0-9]{1,18}"


@dataclass(frozen=True, kw_only=True)
class SessionItems(Stage):
    """A JSON list of items, or `seq` and `target`, a line."""

    file = "staging/session_items.sql"
    table = "events"
    several = True
    with_place = True
    prefix: str
    behaviour: str = "view"


@dataclass(frozen=True, kw_only=True)
class ItemAttributes(Stage):
    """`{item: [attribute, ...], ...}`."""

    file = "staging/item_attributes.sql"
    table = "triples"
    several = True


@dataclass(frozen=True, kw_only=True)
class IndexedRelation(Stage):
    """Which tails each head has, both by number."""

    file = "staging/indexed_relation.sql"
    table = "triples"
    several = True
    relation: str
    tail_name: str


@dataclass(frozen=True, kw_only=True)
class IndexedNames(Stage):
    """What the publisher calls each item."""

    file = "staging/indexed_names.sql"
    table = "identifiers"
    authority: str


@dataclass(frozen=True, kw_only=True)
class ListedRelation(Stage):
    """Items or users that each head is related to: a list in a column."""

    file = "staging/listed_relation.sql"
    table = "triples"
    several = True
    relation_name: str
    kind: str
    head_column: str
    tails_column: str


@dataclass(frozen=True, kw_only=True)
class ListedCategories(Stage):
    """Categories of each item: a list in a column."""

    file = "staging/listed_categories.sql"
    table = "items"
    item_column: str
    categories_column: str


AMAZON_LICENCE = (
    "Amazon reviews (McAuley et al. 2015; Ni et al. 2019; Hou et al. 2024): research use, cite; no redistribution "
    "licence."
)


def lists(name: str, title: str, licence: str, **files: str) -> Bundle:
    """Files of lists, each of one behaviour."""
    parts = tuple(Part(text_lines(file), UserItems(behaviour=behaviour)) for file, behaviour in files.items())
    return Bundle(name, title, parts, licence)


GOWALLA = lists(
    "gowalla-lightgcn",
    "Gowalla check-ins in LightGCN's split",
    "SNAP Gowalla: research use, cite (Cho et al. 2011).",
    **{"train.txt": "checkin", "test.txt": "checkin"},
)
BEAUTY, TOYS = (
    Bundle(
        f"amazon-{name}-s3rec",
        f"Amazon {category.replace('_', ' ')}, 5-core, in order, as prepared for S3-Rec",
        (
            Part(text_lines(f"{category}.txt"), UserItems(behaviour="rating")),
            Part(text_lines(f"{category}_item2attributes.json"), ItemAttributes(), optional=True),
        ),
        AMAZON_LICENCE,
    )
    for name, category in (("beauty", "Beauty"), ("toys", "Toys_and_Games"))
)
SASREC_ML_1M = lists(
    "sasrec-ml-1m",
    "MovieLens 1M as SASRec's pairs, in order",
    "MovieLens: research use only, no redistribution (Harper and Konstan 2015).",
    **{"sasrec_ml-1m.txt": "rating"},
)
MULTI_BEHAVIOUR = tuple(
    lists(
        f"multibehaviour-{name.lower()}",
        f"{name}: purchases and carts (GHCF)",
        "No licence stated by the publishers; research use only.",
        **{"buy_train.txt": "purchase", "buy_test.txt": "purchase", "cart.txt": "cart"},
    )
    for name in ("Beibei", "Taobao")
)


def sessions(name: str, title: str, licence: str, **files: str) -> Bundle:
    """Files of sessions; the prefix tells those of one file from those of another."""
    parts = tuple(Part(text_lines(file), SessionItems(prefix=prefix), optional=True) for file, prefix in files.items())
    return Bundle(name, title, parts, licence)


RESEARCH = "Competition data, research use; no redistribution terms granted."
DIGINETICA_SESSIONS = sessions(
    "session-diginetica",
    "Diginetica sessions of the CIKM Cup 2016, as published for next-item prediction",
    RESEARCH,
    **{"train_sessions.jsonl": "train-", "test.jsonl": "test-"},
)
TMALL_SESSIONS = sessions(
    "session-tmall",
    "Tmall sessions of IJCAI-15, as published for next-item prediction",
    RESEARCH,
    **{"train_sessions.jsonl": "train-", "test.jsonl": "test-"},
)
YOOCHOOSE_SESSIONS = sessions(
    "yoochoose1_64",
    "YOOCHOOSE sessions (the last 64th of the clicks), as published for next-item prediction",
    "Challenge data, listed as CC BY-NC-ND 4.0: non-commercial.",
    **{"yoochoose1_64_train_sessions.jsonl": "train-", "yoochoose1_64_test.jsonl": "test-"},
)
COTREC_SESSIONS = sessions(
    "retailrocket-cotrec",
    "RetailRocket sessions in COTREC's split, as published for next-item prediction",
    "RetailRocket (Kaggle): CC BY-NC-SA 4.0.",
    **{"cotrec_train_sessions.jsonl": "train-", "cotrec_test.jsonl": "test-"},
)
RELATIONS = {
    "also_bought_p_p": ("also_bought", "related_product"),
    "also_viewed_p_p": ("also_viewed", "related_product"),
    "bought_together_p_p": ("bought_together", "related_product"),
    "brand_p_b": ("produced_by", "brand"),
    "category_p_c": ("belongs_to", "category"),
}
BEAUTY_KG = Bundle(
    "amazon-beauty-kg",
    "Amazon Beauty with the knowledge graph of PGPR",
    (
        Part(text_lines("train_labels.txt"), UserItems(behaviour="purchase")),
        Part(text_lines("test_labels.txt"), UserItems(behaviour="purchase")),
        *(
            Part(text_lines(f"{file}.txt"), IndexedRelation(relation=f"item.{relation}", tail_name=tail))
            for file, (relation, tail) in RELATIONS.items()
        ),
        Part(text_lines("product.txt"), IndexedNames(authority="amazon")),
    ),
    AMAZON_LICENCE,
)
LISTS = (
    GOWALLA, BEAUTY, TOYS, SASREC_ML_1M, *MULTI_BEHAVIOUR, DIGINETICA_SESSIONS, TMALL_SESSIONS, YOOCHOOSE_SESSIONS,
    COTREC_SESSIONS, BEAUTY_KG,
)  # fmt: skip

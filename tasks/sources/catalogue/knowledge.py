"""Knowledge graphs of MovieLens 1M as papers published them: facts, and which entity each film is."""

from dataclasses import dataclass

from tasks.queries import Stage
from tasks.sources.catalogue.bundle import Bundle, Part
from tasks.sources.catalogue.logs import SECONDS, log
from tasks.sources.catalogue.movielens import Links, NamedItems, Ratings, Triples
from tasks.sources.registry import ML_1M, MOVIELENS_LICENCE, NO_GENRE, RawFile


@dataclass(frozen=True, kw_only=True)
class DbpediaIdentifiers(Stage):
    """What MovieLens and DBpedia call an item."""

    file = "staging/dbpedia_identifiers.sql"
    table = "identifiers"
    several = True


RATED = (
    Part(ML_1M.layout("official").ratings, Ratings()),
    Part(ML_1M.layout("official").items, NamedItems()),
)
FACT = ("head_id", "relation_id", "tail_id")
ML_1M_MKR = Bundle(
    "ml-1m-mkr",
    "MovieLens 1M with the knowledge graph of MKR",
    (
        *RATED,
        Part(RawFile("kg.txt", "\t", FACT), Triples()),
        Part(RawFile("item_index2entity_id.txt", "\t", ("item_id", "entity_id")), Links()),
    ),
    f"{MOVIELENS_LICENCE} Knowledge graph of MKR (Wang et al. 2019): no licence stated.",
    NO_GENRE,
)
DBPEDIA_LICENCE = f"{MOVIELENS_LICENCE} Knowledge graph: DBpedia (CC BY-SA), as prepared for PEARLM (Balloccu et al.)."
DBPEDIA_FACTS = Part(
    RawFile("kg_final.txt", "\t", ("entity_head", "relation", "entity_tail"), header=True, called=FACT), Triples()
)
ML_1M_DBPEDIA = Bundle(
    "ml-1m-dbpedia",
    "MovieLens 1M with DBpedia's facts about its films",
    (
        *RATED,
        DBPEDIA_FACTS,
        Part(
            RawFile("i2kg_map.txt", "\t", ("pid", "eid"), header=True, called=("item_id", "entity_id")),
            Links(),
        ),
    ),
    DBPEDIA_LICENCE,
    NO_GENRE,
)
SPLITS = ("train.txt", "valid.txt", "test.txt")
ML_1M_DBPEDIA_SPLIT = Bundle(
    "ml-1m-dbpedia-split",
    "MovieLens 1M as PEARLM splits it by time, films numbered as DBpedia's entities",
    (
        *(
            log(
                name,
                format="tsv",
                header=False,
                names=("user", "item", "one", "time"),
                columns={"user": "user", "item": "item", "time": "time"},
                time=SECONDS,
                behaviour="rating",
            )
            for name in SPLITS
        ),
        DBPEDIA_FACTS,
        Part(
            RawFile("i2kg_map.txt", "\t", ("eid", "eid"), header=True, called=("item_id", "entity_id")),
            Links(least=0),
        ),
        Part(
            RawFile(
                "i2kg_map.txt", "\t", ("eid", "pid", "entity"), header=True, called=("entity_id", "movie_id", "uri")
            ),
            DbpediaIdentifiers(),
        ),
    ),
    DBPEDIA_LICENCE,
)
KNOWLEDGE = (ML_1M_MKR, ML_1M_DBPEDIA, ML_1M_DBPEDIA_SPLIT)

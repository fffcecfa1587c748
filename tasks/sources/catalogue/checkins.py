"""Places and pins: Gowalla's check-ins with friendships; NCF's splits of Pinterest and MovieLens 1M."""

from typing import Any

from tasks.sources.catalogue.bundle import Bundle, Part
from tasks.sources.catalogue.lists import ListedRelation
from tasks.sources.catalogue.logs import SECONDS, log
from tasks.sources.registry import RawFile

GOWALLA_CHECKINS = Bundle(
    "gowalla",
    "Gowalla check-ins (SNAP): user, time, latitude, longitude, place; and friendships",
    (
        log(
            "*totalCheckins.txt",
            format="tsv",
            header=False,
            names=("user", "time", "latitude", "longitude", "place"),
            columns={"user": "user", "item": "place", "time": "time"},
            time={"format": "iso"},
            behaviour="checkin",
        ),
        Part(
            RawFile("*edges.txt", "\t", ("user", "friend"), called=("head", "tails")),
            ListedRelation(relation_name="user.friend", kind="user", head_column="user", tails_column="friend"),
            optional=True,
        ),
    ),
    "SNAP Gowalla: research use, cite (Cho et al. 2011).",
)


def ncf(name: str, title: str, prefix: str, licence: str, **told: Any) -> Bundle:
    """A split of Neural Collaborative Filtering: user, item, rating, time, without a header.

    The 99 items that it samples for each test pair (PREFIX.test.negative) are no log: they are not read.
    """
    parts = tuple(
        log(
            f"{prefix}.{part}.rating",
            optional=part == "train",
            format="tsv",
            header=False,
            names=("user", "item", "rating", "time"),
            **told,
        )
        for part in ("train", "test")
    )
    return Bundle(name, title, parts, licence)


PINTEREST = ncf(
    "pinterest",
    "Pinterest pins (NCF)",
    "pinterest-20",
    "Research use, cite (Geng et al. 2015).",
    columns={"user": "user", "item": "item"},  # all ratings are 1, all times 0
    behaviour="pin",
)
NCF_ML_1M = ncf(
    "ncf-ml-1m",
    "MovieLens 1M in NCF's split",
    "ml-1m",
    "MovieLens: research use only, no redistribution.",
    columns={"user": "user", "item": "item", "value": "rating", "time": "time"},
    time=SECONDS,
    behaviour="rating",
)
CHECKINS = (GOWALLA_CHECKINS, PINTEREST, NCF_ML_1M)

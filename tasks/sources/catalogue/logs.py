"""Public logs whose columns play the roles of anybody's log: read as a mapping would read them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.sources.catalogue.bundle import Bundle, Feed
from tasks.sources.mapping import Source

SECONDS, MILLISECONDS = {"unit": "s"}, {"unit": "ms"}
AMAZON_LICENCE = "Amazon reviews (McAuley et al. 2015; Ni et al. 2019; Hou et al. 2024): research use, cite."


@dataclass(frozen=True)
class LogPart:
    """A raw log whose columns have roles."""

    source: Source
    optional: bool = False

    @property
    def name(self) -> str:
        """The file's name, or a pattern of it."""
        return str(self.source.files)

    def feed(self, file: Path) -> Feed:
        """The file as this part.

        Raises:
            InputError: it lacks a column.
        """
        form = self.source.form(file)
        return Feed(file, form, self.source.statement(form))


def log(files: str, *, optional: bool = False, **told: Any) -> LogPart:
    """A part; what is told stands in `tasks/sources/mapping.py`."""
    return LogPart(Source.model_validate({"files": files, **told}), optional)


RETAILROCKET = Bundle(
    "retailrocket",
    "RetailRocket: views, carts and transactions of a shop, 2015",
    (
        log(
            "events.csv",
            columns={"user": "visitorid", "item": "itemid", "time": "timestamp", "behaviour": "event"},
            time=MILLISECONDS,
            behaviours={"view": "view", "addtocart": "cart", "transaction": "purchase"},
        ),
    ),
    "RetailRocket (Kaggle): CC BY-NC-SA 4.0.",
)
YOOCHOOSE = Bundle(
    "yoochoose",
    "YOOCHOOSE clicks and buys (RecSys Challenge 2015)",
    (
        log(
            "yoochoose-clicks.dat",
            header=False,
            names=("session", "time", "item", "category"),
            columns={"session": "session", "time": "time", "item": "item"},
            time={"format": "iso"},
            behaviour="click",
        ),
        log(
            "yoochoose-buys.dat",
            optional=True,
            header=False,
            names=("session", "time", "item", "price", "quantity"),
            columns={"session": "session", "time": "time", "item": "item", "value": "quantity"},
            time={"format": "iso"},
            behaviour="purchase",
        ),
    ),
    "Challenge data, listed as CC BY-NC-ND 4.0: non-commercial.",
)
SESSION_REC = Bundle(
    "session-rec",
    "Sessions as prepared by session-rec: SessionId, ItemId, Time",
    (
        log(
            "*train_full.txt",
            format="tsv",
            columns={"session": "SessionId", "item": "ItemId", "time": "Time"},
            time=SECONDS,
            behaviour="click",
        ),
        log(
            "*_test.txt",
            format="tsv",
            columns={"session": "SessionId", "item": "ItemId", "time": "Time"},
            time=SECONDS,
            behaviour="click",
        ),
    ),
    "Terms of the data that was prepared.",
)
REVIEW = {"user": "reviewerID", "item": "asin", "value": "overall", "time": "unixReviewTime"}
AMAZON = Bundle(
    "amazon-reviews",
    "Amazon reviews, 5-core or whole, JSON lines",
    (log("*.json", format="jsonl", columns=REVIEW, time=SECONDS, behaviour="rating"),),
    AMAZON_LICENCE,
)
RATINGS_ONLY = {"user": "user", "item": "item", "value": "rating", "time": "time"}
AMAZON_2014 = Bundle(
    "amazon-ratings-2014",
    "Amazon ratings of 2014, csv without a header: user, item, rating, time",
    (
        log(
            "ratings_*.csv",
            header=False,
            names=("user", "item", "rating", "time"),
            columns=RATINGS_ONLY,
            time=SECONDS,
            behaviour="rating",
        ),
    ),
    AMAZON_LICENCE,
)
AMAZON_2018 = Bundle(
    "amazon-ratings-2018",
    "Amazon ratings of 2018, csv without a header: item, user, rating, time",
    (
        log(
            "*.csv",
            header=False,
            names=("item", "user", "rating", "time"),
            columns=RATINGS_ONLY,
            time=SECONDS,
            behaviour="rating",
        ),
    ),
    AMAZON_LICENCE,
)
AMAZON_2023 = Bundle(
    "amazon-ratings-2023",
    "Amazon ratings of 2023, csv: user_id, parent_asin, rating, timestamp",
    (
        log(
            "*.csv",
            columns={"user": "user_id", "item": "parent_asin", "value": "rating", "time": "timestamp"},
            time=MILLISECONDS,
            behaviour="rating",
        ),
    ),
    AMAZON_LICENCE,
)
GROCERY = Bundle(
    "amazon-grocery-rechorus",
    "Amazon Grocery, 5-core, in ReChorus' split",
    (
        log(
            "train.csv",
            format="tsv",
            columns={"user": "user_id", "item": "item_id", "time": "time"},
            time=SECONDS,
            behaviour="rating",
        ),
    ),
    AMAZON_LICENCE,
)
YELP = Bundle(
    "yelp",
    "Yelp reviews, JSON lines",
    (
        log(
            "yelp_academic_dataset_review.json",
            format="jsonl",
            columns={"user": "user_id", "item": "business_id", "value": "stars", "time": "date"},
            time={"format": "%Y-%m-%d %H:%M:%S"},
            behaviour="rating",
        ),
    ),
    "Yelp Open Dataset: academic use, no redistribution.",
)
GOWALLA_CHECKINS = Bundle(
    "gowalla",
    "Gowalla check-ins (SNAP): user, time, latitude, longitude, place",
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
    ),
    "SNAP Gowalla: research use, cite (Cho et al. 2011).",
)


def flags(files: str, columns: dict[str, str], *, optional: bool = False, **behaviours: str) -> tuple[LogPart, ...]:
    """A part for each column of flags: where it is 1, that happened; where it is 0, a filter counts the record."""
    return tuple(
        log(
            files,
            optional=optional,
            format="tsv" if files.endswith(".tsv") else "csv",
            columns={**columns, "behaviour": column},
            time=MILLISECONDS,
            behaviours={"1": behaviour},
            others="drop",
        )
        for column, behaviour in behaviours.items()
    )


VIDEO = {"user": "user_id", "item": "video_id", "time": "time_ms"}
KUAIRAND = Bundle(
    "kuairand",
    "KuaiRand: standard and random logs of short videos",
    tuple(
        part
        for files in ("log_standard*.csv", "log_random*.csv")
        for part in (
            log(files, optional=True, columns=VIDEO, time=MILLISECONDS, behaviour="view"),
            *flags(
                files,
                VIDEO,
                optional=True,
                is_click="click",
                is_like="like",
                is_follow="follow",
                is_comment="comment",
                is_forward="forward",
                is_hate="hate",
                long_view="long_view",
            ),
        )
    ),
    "KuaiRand (Gao et al. 2022): CC BY-SA 4.0.",
)
KUAIRAND_EXPLICIT = Bundle(
    "kuairand-explicit",
    "KuaiRand's liked and hated videos: selected, never unbiased",
    (
        *flags("log_standard_like_hate_kcore15.tsv", VIDEO, is_click="click", label="like"),
        log(
            "log_standard_like_hate_kcore15.tsv",
            columns={**VIDEO, "behaviour": "label"},
            time=MILLISECONDS,
            behaviours={"0": "hate"},
            others="drop",
        ),
    ),
    "KuaiRand (Gao et al. 2022): CC BY-SA 4.0.",
)
KUAIREC = Bundle(
    "kuairec",
    "KuaiRec: watch ratios of short videos, the small matrix fully observed",
    tuple(
        log(
            file,
            optional=True,
            columns={"user": "user_id", "item": "video_id", "value": "watch_ratio", "time": "timestamp"},
            time=SECONDS,
            behaviour="watch",
        )
        for file in ("big_matrix.csv", "small_matrix.csv")
    ),
    "KuaiRec (Gao et al. 2022): CC BY-SA 4.0.",
)
NCF = {"user": "user", "item": "item", "value": "rating"}


def ncf(name: str, title: str, prefix: str, licence: str) -> Bundle:
    """Ratings in the form of Neural Collaborative Filtering: user, item, rating, time, without a header."""
    return Bundle(
        name,
        title,
        tuple(
            log(
                f"{prefix}.{part}.rating",
                optional=part == "train",
                format="tsv",
                header=False,
                names=("user", "item", "rating", "time"),
                columns=NCF,
                behaviour="rating",
            )
            for part in ("train", "test")
        ),
        licence,
    )


PINTEREST = ncf("pinterest", "Pinterest pins (NCF)", "pinterest-20", "Research use, cite (Geng et al. 2015).")
NCF_ML_1M = ncf("ncf-ml-1m", "MovieLens 1M in NCF's split", "ml-1m", "MovieLens: research use only, no redistribution.")
LOGS = (
    RETAILROCKET, YOOCHOOSE, SESSION_REC, AMAZON, AMAZON_2014, AMAZON_2018, AMAZON_2023, GROCERY, YELP,
    GOWALLA_CHECKINS, KUAIRAND, KUAIRAND_EXPLICIT, KUAIREC, PINTEREST, NCF_ML_1M,
)  # fmt: skip

"""Reviews with stars: Amazon in its three editions and in ReChorus' split, with products; Yelp, with businesses."""

from dataclasses import dataclass

from tasks.queries import Stage
from tasks.sources.catalogue.bundle import Bundle, Part
from tasks.sources.catalogue.lists import AMAZON_LICENCE, ListedCategories, ListedRelation
from tasks.sources.catalogue.logs import MILLISECONDS, SECONDS, log
from tasks.sources.registry import RawFile, text_lines

RATINGS_ONLY = {"user": "user", "item": "item", "value": "rating", "time": "time"}


@dataclass(frozen=True, kw_only=True)
class AmazonItems(Stage):
    """Titles and categories of products."""

    file = "staging/amazon_items.sql"
    table = "items"


@dataclass(frozen=True, kw_only=True)
class AmazonRelations(Stage):
    """Brands and related products."""

    file = "staging/amazon_relations.sql"
    table = "triples"
    several = True


@dataclass(frozen=True, kw_only=True)
class YelpItems(Stage):
    """Names and categories of businesses."""

    file = "staging/yelp_items.sql"
    table = "items"


def products(files: str) -> tuple[Part, Part]:
    """Metadata, where there is any: as items, and as facts."""
    return (
        Part(text_lines(files), AmazonItems(), optional=True),
        Part(text_lines(files), AmazonRelations(), optional=True),
    )


AMAZON = Bundle(
    "amazon-reviews",
    "Amazon reviews of 2014 or 2018, 5-core or whole, JSON lines, with their products",
    (
        log(
            "[!m]*.json",  # all but meta_*.json
            format="jsonl",
            columns={"user": "reviewerID", "item": "asin", "value": "overall", "time": "unixReviewTime"},
            time=SECONDS,
            behaviour="rating",
        ),
        *products("meta_*.json"),
    ),
    AMAZON_LICENCE,
)
AMAZON_REVIEWS_2023 = Bundle(
    "amazon-reviews-2023",
    "Amazon reviews of 2023, JSON lines, with their products",
    (
        log(
            "[!m]*.jsonl",  # all but meta_*.jsonl
            columns={"user": "user_id", "item": "parent_asin", "value": "rating", "time": "timestamp"},
            time=MILLISECONDS,
            behaviour="rating",
        ),
        *products("meta_*.jsonl"),
    ),
    AMAZON_LICENCE,
)
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
    "Amazon Grocery, 5-core, in ReChorus' split, with its products",
    (
        *(
            log(
                f"{part}.csv",
                optional=part != "train",
                format="tsv",
                columns={"user": "user_id", "item": "item_id", "time": "time"},
                time=SECONDS,
                behaviour="rating",
            )
            for part in ("train", "dev", "test")
        ),
        Part(
            RawFile("item_meta.csv", "\t", ("item_id", "i_category"), header=True, called=("item", "categories")),
            ListedCategories(item_column="item_id", categories_column="i_category"),
            optional=True,
        ),
        *(
            Part(
                RawFile("item_meta.csv", "\t", ("item_id", column), header=True, called=("head", "tails")),
                ListedRelation(relation_name=relation, kind="item", head_column="item_id", tails_column=column),
                optional=True,
            )
            for column, relation in (("r_complement", "item.complement"), ("r_substitute", "item.substitute"))
        ),
    ),
    AMAZON_LICENCE,
)
YELP = Bundle(
    "yelp",
    "Yelp reviews, JSON lines, with their businesses",
    (
        log(
            "yelp_academic_dataset_review.json",
            format="jsonl",
            columns={"user": "user_id", "item": "business_id", "value": "stars", "time": "date"},
            time={"format": "%Y-%m-%d %H:%M:%S"},
            behaviour="rating",
        ),
        Part(text_lines("yelp_academic_dataset_business.json"), YelpItems(), optional=True),
    ),
    "Yelp Open Dataset: academic use, no redistribution.",
)
REVIEWS = (AMAZON, AMAZON_REVIEWS_2023, AMAZON_2014, AMAZON_2018, AMAZON_2023, GROCERY, YELP)

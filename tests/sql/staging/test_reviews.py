"""Reviews of Amazon and Yelp in every published form, and what is told about the products and businesses."""

import json
from datetime import UTC, datetime

import pytest

from tasks.database import connect
from tasks.sources import fetch
from tasks.staging import stage
from tests.own import Understood
from tests.staged import staged, told

AT = datetime(2013, 6, 23, tzinfo=UTC)
SECONDS = 1_371_945_600
REVIEW = {
    "reviewerID": "A1YJEY40YUW4SE", "asin": "7806397051", "reviewerName": "Andrea", "helpful": [3, 4],
    "reviewText": "Very oily, \"and\"\ncreamy.", "overall": 1.0, "summary": "Don't", "unixReviewTime": SECONDS,
    "reviewTime": "06 23, 2013",
}  # fmt: skip
RATED = ("A1YJEY40YUW4SE", "7806397051", None, "rating", 1.0, AT)
LITERAL = "a Python literal, not JSON: write json.dumps(ast.literal_eval(line)) for each line"


def lines(*records: object) -> str:
    """JSON lines; text stands as it is."""
    return "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in records)


def without(key: str) -> dict[str, object]:
    """The review without a key."""
    return {name: value for name, value in REVIEW.items() if name != key}


def test_a_review_is_a_rating_whatever_else_it_holds(tmp_path):
    content = lines(
        REVIEW,
        without("reviewText") | {"vote": "2", "style": {"Size:": "1"}},
        *(without(key) for key in ("reviewerID", "asin", "overall", "unixReviewTime")),
        REVIEW | {"overall": "good"},
        REVIEW | {"unixReviewTime": SECONDS * 1000},
        "{'asin': '7806397051'}",
    )
    (reviews,) = staged("amazon-reviews", tmp_path, {"reviews_Beauty_5.json": content})
    assert told(reviews) == [RATED, RATED]
    assert [(line, column) for line, column, _ in reviews.rejects] == [
        (3, "reviewerID"), (4, "asin"), (5, "overall"), (6, "unixReviewTime"), (7, "overall"), (8, "unixReviewTime"),
        (9, None),
    ]  # fmt: skip
    assert "milliseconds" in reviews.rejects[5][2]


@pytest.mark.parametrize(
    ("source", "file", "content"),
    [
        ("amazon-ratings-2014", "ratings_Beauty.csv", "A1YJEY40YUW4SE,7806397051,1.0,1371945600\n"),
        ("amazon-ratings-2018", "All_Beauty.csv", "7806397051,A1YJEY40YUW4SE,1.0,1371945600\n"),
        (
            "amazon-ratings-2023",
            "All_Beauty.train.csv",
            "user_id,parent_asin,rating,timestamp\nA1YJEY40YUW4SE,7806397051,1.0,1371945600000\n",
        ),
        (
            "amazon-reviews-2023",
            "All_Beauty.jsonl",
            lines(
                {
                    "rating": 1.0, "title": "No", "text": "", "images": [], "asin": "B0", "parent_asin": "7806397051",
                    "user_id": "A1YJEY40YUW4SE", "timestamp": SECONDS * 1000, "verified_purchase": True,
                }
            ),
        ),
    ],
)  # fmt: skip
def test_every_edition_tells_the_same(tmp_path, source, file, content):
    (ratings,) = staged(source, tmp_path, {file: content})
    assert told(ratings) == [RATED]


def products(folder, *records: object) -> tuple[Understood, Understood]:
    """Metadata beside a review: as items and as facts."""
    _, items, facts = staged(
        "amazon-reviews", folder, {"All_Beauty_5.json": lines(REVIEW), "meta_All_Beauty.json": lines(*records)}
    )
    return items, facts


def test_products_have_titles_categories_and_relations_in_every_edition(tmp_path):
    items, facts = products(
        tmp_path,
        {  # 2014
            "asin": "1", "title": " Cream ", "brand": "Ann", "categories": [["Beauty", "Skin"], ["Beauty", "Face"]],
            "related": {"also_bought": ["2", "3"], "buy_after_viewing": ["4"]},
        },
        {"asin": "2", "title": "Oil", "brand": "", "category": ["Beauty"], "also_buy": [], "also_view": ["1"]},  # 2018
        {"parent_asin": "3", "title": "", "categories": [], "store": "Bob", "bought_together": None},  # 2023
    )  # fmt: skip
    assert [(row[0], row[1], row[3]) for row in told(items)] == [
        ("1", "Cream", ["Beauty", "Face", "Skin"]),
        ("2", "Oil", ["Beauty"]),
        ("3", None, []),
    ]
    assert {row[1:] for row in told(facts)} == {
        ("1", "item.brand", "entity", "brand:Ann"),
        ("1", "item.also_bought", "item", "2"),
        ("1", "item.also_bought", "item", "3"),
        ("1", "item.bought_after_viewing", "item", "4"),
        ("2", "item.also_viewed", "item", "1"),
        ("3", "item.brand", "entity", "brand:Bob"),
    }
    assert facts.counts.dropped == {"no such relation": 3 * 5 - 5}


def test_bad_products_are_rejected_once(tmp_path):
    for part in products(tmp_path, {"title": "nameless"}, "{'asin': '1'}", "[1]", "{"):
        assert part.rejects == [
            (1, "asin", "empty"),
            (2, None, LITERAL),
            (3, None, "not a JSON object"),
            (4, None, "not a JSON object"),
        ]
        assert part.counts.rows == 4


def test_rechorus_products_have_a_category_and_lists(tmp_path):
    meta = "item_id\ti_category\tr_complement\tr_substitute\n1\t21\t[2, 3]\t[]\n2\t\t[]\t[1]\n3\t4\t[1\t[2]\n"
    files = {"train.csv": "user_id\titem_id\ttime\n5\t1\t1371945600\n", "item_meta.csv": meta}
    train, items, complements, substitutes = staged("amazon-grocery-rechorus", tmp_path, files)
    assert told(train) == [("5", "1", None, "rating", None, AT)]
    assert [(row[0], row[3]) for row in told(items)] == [("1", ["21"]), ("2", []), ("3", ["4"])]
    assert told(complements) == [("item", "1", "item.complement", "item", tail) for tail in ("2", "3")]
    assert complements.rejects == [(4, "r_complement", "not a list such as [7, 12]")]
    assert [row[1::3] for row in told(substitutes)] == [("2", "1"), ("3", "2")]
    assert substitutes.counts.dropped == {"empty list": 1}


def test_yelp_has_reviews_and_businesses(tmp_path):
    review = {"review_id": "r", "user_id": "u", "business_id": "b", "stars": 4.0, "date": "2018-07-07 22:09:11"}
    business = {"business_id": "b", "name": "Café", "city": "Tampa", "categories": "Food, Coffee & Tea"}
    reviews, businesses = staged(
        "yelp",
        tmp_path,
        {
            "yelp_academic_dataset_review.json": lines(
                review, review | {"date": "07/07/2018"}, review | {"stars": None}
            ),
            "yelp_academic_dataset_business.json": lines(
                business, business | {"categories": None}, {"name": "x"}, "null"
            ),
        },
    )
    assert told(reviews) == [("u", "b", None, "rating", 4.0, datetime(2018, 7, 7, 22, 9, 11, tzinfo=UTC))]
    assert [(line, column) for line, column, _ in reviews.rejects] == [(2, "date"), (3, "stars")]
    assert told(businesses) == [("b", "Café", None, ["Food", "Coffee & Tea"]), ("b", "Café", None, [])]
    assert businesses.rejects == [(3, "business_id", "empty"), (4, None, "not a JSON object")]


@pytest.mark.data
def test_the_real_products_are_counted(data, tmp_path):
    counts = []
    with connect(tmp_path) as connection:
        for number, feed in enumerate(fetch("amazon-grocery-rechorus", data / "amazon-grocery-rechorus").feeds):
            counts.append(stage(feed, tmp_path / str(number), connection).counts)
    train, items, *relations = counts
    assert (train.accepted, items.accepted) == (121_892, 8_713)
    assert all(part.read == 8_713 and not part.quarantined for part in relations)

"""Published statistics of the real datasets hold exactly."""

import gzip
import itertools
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from rlrec.corpus import Corpus
from rlrec.tables import DIALOGUES, EVENTS, IDENTIFIERS, LOGGED_SLATES, TRIPLES, check
from tasks.sources import fetch
from tasks.warehouse import ingest, read_description

COUNTS = {
    # LightGCN's split: MANIFEST.json; graph spec 1.1
    "gowalla-lightgcn": {"users": 29_858, "items": 40_981, "events": 810_128 + 217_242},
    # S3-Rec's 5-cores
    "amazon-beauty-s3rec": {"users": 22_363, "items": 12_101, "events": 198_502},
    "amazon-toys-s3rec": {"users": 19_412, "items": 11_924, "events": 167_597},
    "sasrec-ml-1m": {"users": 6_040, "items": 3_416, "events": 999_611},
    # GHCF's behaviours
    "multibehaviour-beibei": {"users": 21_716, "items": 7_977, "events": 304_576 + 642_622},
    "multibehaviour-taobao": {"users": 48_749, "items": 39_493, "events": 211_022 + 48_749 + 193_747},
    "retailrocket": {"users": 18_206, "events": 104_776},
    "yoochoose": {"sessions": 21_210, "items": 2_933, "events": 83_846},
    "amazon-grocery-rechorus": {"users": 14_681, "events": 121_892},
    "kuairand-explicit": {"users": 664, "items": 9_359},
    "ncf-ml-1m": {"users": 6_040, "events": 6_040},
    "inspired": {"utterances": 3_538 + 3_438},
    "ml-latest": {"users": 610, "items": 9_742, "events": 100_836},
}
FOLDERS = {
    "sasrec-ml-1m": "ml-1m", "ncf-ml-1m": "ml-1m", "multibehaviour-beibei": "multibehaviour-ghcf/Beibei",
    "multibehaviour-taobao": "multibehaviour-ghcf/Taobao", "yoochoose": "yoochoose-100k",
    "ml-latest": "ml-latest-small",
}  # fmt: skip
CLICKS = {  # OPE spec B.2: clicks, least and greatest propensity
    ("random", "all"): (38, 1 / 80, 1 / 80),
    ("random", "men"): (46, 1 / 34, 1 / 34),
    ("random", "women"): (46, 1 / 46, 1 / 46),
    ("bts", "all"): (42, 4.5e-5, 0.954),
    ("bts", "men"): (69, 1.65e-4, 0.725),
    ("bts", "women"): (46, 1e-6, 0.963),
}
BEAUTY = {"also_bought": 891_182, "also_viewed": 155_350, "bought_together": 9_021, "produced_by": 10_021,
          "belongs_to": 49_756}  # fmt: skip


def ingested(name: str, data: Path, folder: Path) -> tuple[Corpus, dict]:
    """The corpus and its description."""
    corpus = ingest(fetch(name, data / FOLDERS.get(name, name)), folder / "warehouse")
    return Corpus.of(folder / "warehouse"), read_description(corpus.path)


@pytest.mark.data
@pytest.mark.slow  # every set whole; the forms are tested on samples in tests/sql/staging
@pytest.mark.parametrize("name", COUNTS)
def test_published_counts_hold(data, tmp_path, name):
    _, description = ingested(name, data, tmp_path)
    found = description["counts"]
    assert {key: found[key] for key in COUNTS[name]} == COUNTS[name]
    assert found["quarantined"] == 0
    for counts in description["lines"].values():
        assert counts["lines"] == counts["header"] + counts["blank"] + counts["continued"] + counts["read"]
        assert counts["rows"] == counts["accepted"] + counts["quarantined"] + sum(counts["dropped"].values())


@pytest.mark.data
@pytest.mark.slow
def test_gowallas_test_pairs_are_no_training_pairs(data, tmp_path):
    source = fetch("gowalla-lightgcn", data / "gowalla-lightgcn")
    pairs = []
    for place, feed in enumerate(source.feeds):
        one = Corpus.of(ingest(replace(source, feeds=(feed,)), tmp_path / str(place)).path)
        users, items = (
            pl.LazyFrame({kind: range(1, len(names := one.vocabulary(kind))), f"{kind}_name": names.external[1:]})
            for kind in ("user", "item")
        )
        named = one.scan(EVENTS).join(users.cast({"user": pl.Int32}), on="user")
        pairs.append(
            set(named.join(items.cast({"item": pl.Int32}), on="item").select("user_name", "item_name").collect().rows())
        )
    assert [len(part) for part in pairs] == [810_128, 217_242]
    assert not pairs[0] & pairs[1]


@pytest.mark.data
@pytest.mark.slow
def test_diginetica_has_its_published_instances(data, tmp_path):
    corpus, description = ingested("session-diginetica", data, tmp_path)
    assert description["counts"]["items"] == 43_097
    lines = description["lines"]
    train, test = lines["train_sessions.jsonl.gz"], lines["test.jsonl.gz"]
    assert train["accepted"] - train["read"] == 719_470  # every item of a session but its first is once a target
    assert test["read"] == 60_858
    sessions = corpus.scan(EVENTS).group_by("session").len().collect()
    assert (sessions["len"] - 1).sum() == 719_470 + test["accepted"] - test["read"]


@pytest.mark.data
@pytest.mark.slow
def test_ordered_lists_keep_their_order(data, tmp_path):
    corpus, _ = ingested("amazon-beauty-s3rec", data, tmp_path)
    items = corpus.vocabulary("item").external
    users = corpus.vocabulary("user").dense
    with gzip.open(data / "amazon-beauty-s3rec" / "Beauty.txt.gz", "rt") as stream:
        for line in itertools.islice(stream, 50):
            user, *wanted = line.split()
            own = corpus.scan(EVENTS).filter(pl.col("user") == users[user]).sort("event").collect()
            assert [items[item] for item in own["item"]] == wanted


@pytest.mark.data
@pytest.mark.slow
def test_beautys_graph_has_its_published_relations(data, tmp_path):
    corpus, description = ingested("amazon-beauty-kg", data, tmp_path)
    counts = description["counts"]
    assert (counts["users"], counts["items"], counts["events"]) == (22_363, 12_101, 198_502)
    relations = dict(corpus.scan(TRIPLES).group_by("relation").len().collect().iter_rows())
    accepted = {name.removesuffix("_p_p.txt.gz"): part["accepted"] for name, part in description["lines"].items()}
    for name in ("also_bought", "also_viewed", "bought_together"):
        assert accepted[name] == BEAUTY[name]
    assert {name: relations[f"item.{name}"] for name in ("produced_by", "belongs_to")} == {
        name: BEAUTY[name] for name in ("produced_by", "belongs_to")
    }
    assert corpus.scan(IDENTIFIERS).select(pl.len()).collect().item() == 12_101


@pytest.mark.data
@pytest.mark.parametrize(("policy", "campaign"), CLICKS)
def test_open_bandit_has_its_clicks_and_propensities(data, tmp_path, policy, campaign):
    corpus = Corpus.of(ingest(fetch(f"open-bandit-{policy}-{campaign}", data / "open-bandit"), tmp_path / "w").path)
    slates = corpus.scan(LOGGED_SLATES).collect()
    check(slates, LOGGED_SLATES)
    clicks, least, greatest = CLICKS[policy, campaign]
    assert (slates.height, slates["reward"].sum()) == (10_000, clicks)
    assert slates["propensity"].min() == pytest.approx(least, rel=0.02)
    assert slates["propensity"].max() == pytest.approx(greatest, rel=0.001)
    assert set(slates["position"]) == {0, 1, 2}
    assert set(slates["propensity_source"]) == {"logged"}
    assert set(slates["logging_policy"]) == {policy}
    raw = pl.read_csv(data / "open-bandit" / policy / campaign / f"{campaign}.csv.gz")
    assert sorted(slates["propensity"]) == sorted(raw["propensity_score"])  # every digit


@pytest.mark.data
@pytest.mark.slow
def test_trivagos_clickouts_become_slates(data, tmp_path):
    corpus = Corpus.of(ingest(fetch("trivago", data / "trivago-val-100k"), tmp_path / "w").path)
    slates = corpus.scan(LOGGED_SLATES).collect()
    requests = slates.group_by("request").agg(pl.col("reward").sum(), pl.len(), pl.col("position").max())
    assert requests.height == 13_597 - 1  # one click is outside the list
    assert set(requests["reward"]) == {1.0}
    assert (requests["len"] == requests["position"] + 1).all()
    assert set(slates["propensity_source"]) == {"missing"}
    assert slates["propensity"].null_count() == slates.height


@pytest.mark.data
@pytest.mark.slow
def test_redials_dialogues_mention_known_films(data, tmp_path):
    corpus = Corpus.of(ingest(fetch("redial", data / "redial"), tmp_path / "w").path)
    dialogues = corpus.scan(DIALOGUES).collect()
    check(dialogues, DIALOGUES)
    assert dialogues["dialogue"].n_unique() == 1_000
    assert set(dialogues["role"]) == {"seeker", "recommender"}
    titles = corpus.catalogue().titles
    first = dialogues.filter(pl.col("items").list.len() > 0)["items"][0].to_list()
    assert all(titles[item] for item in first)


@pytest.mark.data
def test_identifiers_and_tags_of_movielens(data, tmp_path):
    corpus, description = ingested("ml-latest", data, tmp_path)
    identifiers = corpus.scan(IDENTIFIERS).group_by("authority").len().collect()
    assert dict(identifiers.iter_rows()) == {"imdb": 9_742, "tmdb": 9_742 - 8}
    assert description["lines"]["tags.csv.gz"]["accepted"] == 3_683
    assert "0114709" in corpus.scan(IDENTIFIERS).collect()["identifier"].to_list()

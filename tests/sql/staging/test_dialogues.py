"""Dialogues: each utterance is a turn with its role and the films it names; films have titles and years."""

import json

import polars as pl
import pytest

from tasks.sources.catalogue.bundle import Part
from tasks.sources.catalogue.bundles import BUNDLES
from tasks.sources.catalogue.dialogues import (
    INSPIRED,
    InspiredDialogues,
    InspiredItems,
    RedialDialogues,
    RedialItems,
    UnicrsDialogues,
    UnicrsItems,
)
from tasks.sources.registry import text_lines
from tests.sql.staging.lists_support import staged

TSV = next(part.form for part in INSPIRED.parts if isinstance(part, Part))
LINES = text_lines("dev.jsonl")
TURN = ("dialogue_external", "turn", "role", "text", "items")
FILM = ("item_external", "title", "year")


def tsv(*records: str) -> str:
    """Utterances under INSPIRED's header, with two columns that are not read."""
    return "\n".join(["dialog_id\tutt_id\tspeaker\tturn_id\ttext\tmovies\tgenres", *records, ""])


def test_inspireds_utterances_are_turns(tmp_path):
    found = staged(
        TSV,
        InspiredDialogues(),
        tsv(
            'a.pkl\t1\tRECOMMENDER\t1\t"Hi"! I said "5\t\t',
            "a.pkl\t2\tSEEKER\t1\tBoth\tBraveheart (1995);  Heat (1995) ;\tdrama",
            "\t3\tSEEKER\t2\tx\t\t",
            "a.pkl\t0\tSEEKER\t2\tx\t\t",
            "a.pkl\tthree\tSEEKER\t2\tx\t\t",
            "a.pkl\t3\tBOT\t2\tx\t\t",
            "a.pkl\t3\tSEEKER\t2\tx\t",
        ),
        tmp_path,
    )
    assert found.told(*TURN) == [
        ("a.pkl", 0, "recommender", '"Hi"! I said "5', []),
        ("a.pkl", 1, "seeker", "Both", ["Braveheart (1995)", "Heat (1995)"]),
    ]
    assert found.rejects == [
        (4, "dialog_id", "empty"),
        (5, "utt_id", "not a positive whole number"),
        (6, "utt_id", "not a positive whole number"),
        (7, "speaker", "neither SEEKER nor RECOMMENDER"),
        (8, None, "6 fields instead of 7"),
    ]


def test_inspireds_films_are_called_by_their_titles(tmp_path):
    content = tsv("a\t1\tSEEKER\t1\tx\tHeat (1995);Untitled\t", "a\t2\tSEEKER\t1\tx\t\t")
    found = staged(TSV, InspiredItems(), content, tmp_path)
    assert found.told(*FILM) == [("Heat (1995)", "Heat", 1995), ("Untitled", "Untitled", None)]
    assert found.counts.dropped == {"no films": 1}


def utterance(text: object = "hi", role: object = "SEEKER", movie: object = ()) -> dict[str, object]:
    """As UniCRS writes one."""
    return {"text": text, "role": role, "movie": movie, "entity_link": [], "movie_name": []}


def test_unicrs_dialogues_are_lines(tmp_path):
    lines = [
        json.dumps([utterance("hi @1 \u2028"), utterance("so", "RECOMMENDER", ["Heat (1995)", "Up (2009)"])]),
        "[]",
        json.dumps([utterance(None), utterance(role="BOT"), utterance(movie="Up"), utterance(role=None)]),
        '{"text": "x"}',
        "[{]",
        "[7]",
    ]
    content = "\n".join(lines)
    found = staged(LINES, UnicrsDialogues(prefix="dev-"), content, tmp_path)
    assert found.told(*TURN) == [
        ("dev-1", 0, "seeker", "hi @1 \u2028", []),
        ("dev-1", 1, "recommender", "so", ["Heat (1995)", "Up (2009)"]),
    ]
    assert found.counts.dropped == {"no utterances": 1}
    assert sorted(found.rejects, key=str) == [
        (3, "movie", "not a list"),
        (3, "role", "neither SEEKER nor RECOMMENDER"),
        (3, "role", "neither SEEKER nor RECOMMENDER"),
        (3, "text", "not a text"),
        (4, None, "not a list of utterances"),
        (5, None, "not valid JSON"),
        (6, "text", "not a text"),
    ]
    films = staged(LINES, UnicrsItems(), content, tmp_path)
    assert films.told(*FILM) == [("Heat (1995)", "Heat", 1995), ("Up (2009)", "Up", 2009)]
    assert films.counts.dropped == {"no films": 3}
    assert [line for line, *_ in films.rejects] == [4, 5]


def dialogue(*messages: object, mentions: object = None, **other: object) -> str:
    """As ReDial writes one."""
    whole = {"conversationId": "c", "initiatorWorkerId": 1, "respondentWorkerId": 2, "messages": list(messages)}
    return json.dumps(whole | {"movieMentions": {} if mentions is None else mentions} | other)


def said(text: object, sender: object = 1) -> dict[str, object]:
    """A message."""
    return {"messageId": 5, "text": text, "senderWorkerId": sender, "timeOffset": 0}


def test_redials_messages_are_turns(tmp_path):
    lines = [
        dialogue(said("I liked @12 and @7, @12!"), said("", 2), said("me@home")),
        dialogue(),
        dialogue(said("x", 3), said(None), 5),
        dialogue(said("x"), conversationId=""),
        dialogue(messages={"a": 1}),
        "{",
        "[]",
    ]
    found = staged(LINES, RedialDialogues(), "\n".join(lines), tmp_path)
    assert found.told(*TURN) == [
        ("c", 0, "seeker", "I liked @12 and @7, @12!", ["12", "7", "12"]),
        ("c", 1, "recommender", "", []),
        ("c", 2, "seeker", "me@home", []),
    ]
    assert found.counts.dropped == {"no messages": 1}
    assert sorted(found.rejects, key=str) == [
        (3, "senderWorkerId", "neither who began nor who answered"),
        (3, "text", "not a text"),
        (3, "text", "not a text"),
        (4, "conversationId", "empty"),
        (5, None, "no list of messages"),
        (6, None, "not valid JSON"),
        (7, None, "no list of messages"),
    ]


def test_redials_mentions_are_items(tmp_path):
    whole = "movieMentions is no object, or names an id twice"
    lines = [
        dialogue(mentions={"12": "The Shining  (1980)", "7": "Heat", "8": None, "a/b": "X (1999)"}),
        dialogue(),
        dialogue(mentions=[]),
        dialogue(mentions=[1]),
        dialogue(mentions="12"),
        '{"movieMentions": {"1": "a", "1": "b"}}',
        '{"messages": []}',
        "{",
    ]
    found = staged(LINES, RedialItems(), "\n".join(lines), tmp_path)
    assert sorted(found.told(*FILM)) == [("12", "The Shining", 1980), ("7", "Heat", None), ("8", None, None)]
    assert found.counts.dropped == {"no films": 2}
    assert found.rejects == [
        (1, "movieMentions", "an id is not a whole number"),
        *((line, None, whole) for line in (4, 5, 6, 7, 8)),
    ]


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "statement", "dialogues", "rows"),
    [
        ("inspired/dev.tsv.gz", InspiredDialogues(), 99, 3_538),
        ("inspired/test.tsv.gz", InspiredDialogues(), 99, 3_438),
        ("inspired/unicrs_dev.jsonl.gz", UnicrsDialogues(prefix="dev-"), 99, 2_053),
        ("inspired/unicrs_test.jsonl.gz", UnicrsDialogues(prefix="test-"), 99, 2_089),
        ("redial/valid_data.jsonl.gz", RedialDialogues(), 1_000, 12_395),
    ],
)
def test_published_dialogues_are_read_whole(data, tmp_path, file, statement, dialogues, rows):
    found = staged(TSV if ".tsv" in file else LINES, statement, data / file, tmp_path, most=0.0)
    assert (found.counts.accepted, found.rows["dialogue_external"].n_unique()) == (rows, dialogues)
    turns = found.rows.group_by("dialogue_external").agg(pl.col("turn").max() + 1, pl.len())
    assert (turns["turn"] == turns["len"]).all()


@pytest.mark.data
def test_redials_films_have_titles(data, tmp_path):
    found = staged(LINES, RedialItems(), data / "redial" / "valid_data.jsonl.gz", tmp_path, most=0.0)
    assert (found.counts.accepted, found.rows["item_external"].n_unique()) == (5_273, 2_021)
    nameless = found.rows.filter(pl.col("title").is_null())
    assert sorted(nameless.select("item_external", "year").rows(), key=str) == [
        ("182022", 2007),
        ("182022", 2007),
        ("50", None),
    ]
    parts = [part for part in BUNDLES["redial"].parts if part.name == "valid_data.jsonl"]
    assert len(parts) == 2

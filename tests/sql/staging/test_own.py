"""Own logs: each record is understood, or rejected with its column and a reason that says what to change."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.own import Understood, stage_own, write_own

EVENTS = """{top}
[source.columns]
user = "who"
item = "what"
time = "when"
value = "much"
behaviour = "did"
[source.behaviours]
see = "view"
rate = "rating"
[source.time]
{time}
"""
SLATES = """positions_from = 1
{top}
[source.columns]
user = "who"
item = "what"
request = "page"
position = "place"
propensity = "p"
candidates = "all"
propensities = "ps"
reward = "r"
"""


def events(folder: Path, *records: str, time: str = 'unit = "s"', top: str = "") -> Understood:
    """Stage these records under a header."""
    content = "\n".join(["who,what,when,did,much", *records, ""])
    return stage_own(write_own(folder, content, EVENTS.format(time=time, top=top)))


def slates(folder: Path, *records: str, top: str = "") -> Understood:
    """Stage these shown items under a header."""
    return stage_own(
        write_own(folder, "\n".join(["page,who,what,place,p,all,ps,r", *records, ""]), SLATES.format(top=top))
    )


GOOD = "u,i,1700000000,see,"
BAD = [
    (",i,1700000000,see,", "who", "empty"),
    ("u, \t,1700000000,see,", "what", "empty"),
    ("u,i,1700000000,buy,", "did", "not among the listed behaviours"),
    ("u,i,1700000000,,", "did", "empty"),
    ("u,i,1700000000,rate,", "much", "empty, and a rating needs a value"),
    ("u,i,1700000000,see,inf", "much", "not a finite number"),
    ("u,i,1700000000,see,1.5x", "much", "not a finite number"),
    ("u,i,,see,", "when", "empty"),
    ("u,i,soon,see,", "when", "not a number"),
    ("u,i,nan,see,", "when", "not a number"),
    ("u,i,1700000000000,see,", "when", 'these look like milliseconds: let unit be "ms"'),
    ("u,i,1700000000000000000,see,", "when", 'these look like nanoseconds: let unit be "ns"'),
    ("u,i,-5,see,", "when", "outside 1990-01-01 to 2100-01-01"),
    ("u,i,99999999999999999999999,see,", "when", "outside 1990-01-01 to 2100-01-01"),
    ("u,i,1700000000,see", None, "4 fields instead of 5"),
    ('"u,i,1700000000,see,', None, "a quote is not closed"),
]


@pytest.mark.parametrize(("bad", "column", "reason"), BAD, ids=[bad for bad, *_ in BAD])
def test_a_bad_record_is_rejected_with_its_column_and_reason(tmp_path, bad, column, reason):
    found = events(tmp_path, GOOD, bad, GOOD)
    assert (found.counts.read, found.counts.accepted) == (3, 2)
    assert found.rejects == [(3, column, reason)]


def test_seconds_taken_for_milliseconds_are_told(tmp_path):
    found = events(tmp_path, GOOD, time='unit = "ms"')
    assert found.rejects == [(2, "when", 'these look like seconds: let unit be "s"')]


AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
CLOCKS = [
    ('unit = "s"', "1700000000", 0),
    ('unit = "s"', "1.7e9", 0),
    ('unit = "s"', "1700000000.25", 250_000),
    ('unit = "ms"', "1700000000123", 123_000),
    ('unit = "us"', "1700000000123456", 123_456),
    ('unit = "ns"', "1700000000123456789", 123_456),
    ('format = "iso"', "2023-11-14T22:13:20Z", 0),
    ('format = "iso"', "2023-11-14 22:13:20.5 UTC", 500_000),
    ('format = "iso"', "2023-11-15T03:43:20+0530", 0),
    ('format = "iso"\nzone = "Europe/Berlin"', "2023-11-14 23:13:20", 0),
    ('format = "iso"\nzone = "Europe/Berlin"', "2023-11-14T22:13:20+00:00", 0),
    ('format = "%d.%m.%Y %H:%M:%S"\nzone = "Europe/Berlin"', "14.11.2023 23:13:20", 0),
    ('format = "%d.%m.%Y %H:%M:%S %z"\nzone = "Asia/Tokyo"', "14.11.2023 23:13:20 +0100", 0),
]


@pytest.mark.parametrize(("clock", "told", "microseconds"), CLOCKS)
def test_one_moment_in_every_notation(tmp_path, clock, told, microseconds):
    found = events(tmp_path, f"u,i,{told},see,", time=clock)
    assert found.accepted["moment"].to_list() == [AT + timedelta(microseconds=microseconds)]


def test_local_times_where_clocks_change(tmp_path):
    """A time that does not exist is rejected; one that exists twice is the earlier. Python's zones are the oracle."""
    quarters = [datetime(2024, month, day, hour, minute) for month, day in ((3, 31), (10, 27))
                for hour in range(5) for minute in (0, 15, 30, 45)]  # fmt: skip
    berlin = ZoneInfo("Europe/Berlin")
    moments = [local.replace(tzinfo=berlin, fold=0).astimezone(UTC) for local in quarters]
    exists = [
        moment.astimezone(berlin).replace(tzinfo=None) == local for moment, local in zip(moments, quarters, strict=True)
    ]
    found = events(
        tmp_path, *(f"u,i,{local.isoformat()},see," for local in quarters),
        time='format = "iso"\nzone = "Europe/Berlin"',
    )  # fmt: skip
    assert found.accepted["moment"].to_list() == [m for m, there in zip(moments, exists, strict=True) if there]
    assert [reason for *_, reason in found.rejects] == [
        "does not exist in Europe/Berlin: clocks are put forward then"
    ] * exists.count(False)


def test_other_behaviours_are_dropped_before_anything_else_is_asked(tmp_path):
    found = events(tmp_path, GOOD, ",,x,scroll,y", top='others = "drop"')
    assert (found.counts.accepted, found.counts.dropped) == (1, {"behaviour not listed": 1})


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), min_size=1, max_size=20))
def test_ids_are_kept_as_they_are_but_for_ascii_blanks_around_them(ids):
    folder = Path(mkdtemp())
    lines = [json.dumps({"who": name, "what": "i"}, ensure_ascii=False).replace("\r", "\\r") for name in ids]
    toml = 'behaviour = "view"\n[source.columns]\nuser = "who"\nitem = "what"\n'
    try:
        found = stage_own(write_own(folder, "\n".join(lines) + "\n", toml, "log.jsonl"))
    finally:
        shutil.rmtree(folder)
    kept = [name.strip(" \t\n\r\v\f") for name in ids]
    assert found.accepted["user_external"].to_list() == [name for name in kept if name]
    assert len(found.rejects) == kept.count("")


HOSTILE = ['"; drop table block; --', "a'b", "$user", "line\nend", "comma,semi;", "ünï ☃", "user"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_hostile_column_name_is_only_a_name(tmp_path, name, ending):
    quoted = json.dumps(name, ensure_ascii=False)
    header = '"{}",what'.format(name.replace('"', '""'))
    content = f"{header}\nu,i\n,i\n" if ending == "csv" else f'{{{quoted}: "u", "what": "i"}}\n{{"what": "i"}}\n'
    toml = f'behaviour = "view"\n[source.columns]\nuser = {quoted}\nitem = "what"\n'
    found = stage_own(write_own(tmp_path, content, toml, f"log.{ending}"))
    assert found.accepted.select("user_external", "item_external").rows() == [("u", "i")]
    assert [(column, reason) for _, column, reason in found.rejects] == [(name, "empty")]


def test_json_lines_are_taken_from_within_and_bad_ones_rejected(tmp_path):
    lines = [
        '{"actor": {"id": 12345678901234567890}, "items": [{"sku": "é"}], "a.b": 2.5, "at": "2024-05-01T00:00:00Z"}',
        '{"actor": {"id": "x"}, "items": []}',
        '{"actor": ',
        "[1, 2]",
    ]
    toml = """behaviour = "rating"
[source.columns]
user = "actor.id"
item = "items.0.sku"
value = "/a.b"
time = "at"
[source.time]
format = "iso"
"""
    found = stage_own(write_own(tmp_path, "\n".join(lines), toml, "log.ndjson"))
    assert found.accepted.select("user_external", "item_external", "value").rows() == [
        ("12345678901234567890", "é", 2.5)
    ]
    assert found.rejects == [(2, "items.0.sku", "empty"), (3, None, "not valid JSON"), (4, None, "not a JSON object")]


SHOWN = "q,u,a,1,0.25,a|b,0.25|0.75,1"
BAD_SLATES = [
    (",u,a,1,0.25,a|b,0.25|0.75,1", "page", "empty"),
    ("q,u,a,0,0.25,a|b,0.25|0.75,1", "place", "not a whole number from 1 on"),
    ("q,u,a,-1,0.25,a|b,0.25|0.75,1", "place", "not a whole number from 1 on"),
    ("q,u,a,1.5,0.25,a|b,0.25|0.75,1", "place", "not a whole number from 1 on"),
    ("q,u,a,,0.25,a|b,0.25|0.75,1", "place", "empty"),
    ("q,u,a,1,0,a|b,0.25|0.75,1", "p", "not in (0, 1]"),
    ("q,u,a,1,-0.1,a|b,0.25|0.75,1", "p", "not in (0, 1]"),
    ("q,u,a,1,1.1,a|b,0.25|0.75,1", "p", "not in (0, 1]"),
    ("q,u,a,1,nan,a|b,0.25|0.75,1", "p", "not in (0, 1]"),
    ("q,u,a,1,0.25,b|c,0.25|0.75,1", "all", "the shown item is not among them"),
    ("q,u,a,1,0.25,,0.25|0.75,1", "all", "empty"),
    ("q,u,a,1,0.25,a|b,0.25|0.74,1", "ps", "they do not sum to 1"),
    ("q,u,a,1,0.25,a|b,0.25|0.25|0.5,1", "ps", "not as many as candidates"),
    ("q,u,a,1,0.25,a|b,-0.5|1.5,1", "ps", "not all in [0, 1]"),
    ("q,u,a,1,0.25,a|b,x|1,1", "ps", "not all in [0, 1]"),
    ("q,u,a,1,0.25,a|b,,1", "ps", "empty"),
    ("q,u,a,1,0.25,a|b,0.25|0.75,inf", "r", "not a finite number"),
    ("q,u,a,1,0.25,a|b,0.25|0.75,", "r", "empty"),
]


@pytest.mark.parametrize(("bad", "column", "reason"), BAD_SLATES, ids=[bad for bad, *_ in BAD_SLATES])
def test_a_bad_shown_item_is_rejected(tmp_path, bad, column, reason):
    found = slates(tmp_path, SHOWN, bad)
    assert found.counts.accepted == 1
    assert found.rejects == [(3, column, reason)]


def test_a_shown_item_is_typed_and_its_propensity_exact(tmp_path):
    exact = "0.1234567890123456789"
    found = slates(tmp_path, SHOWN, f'q,u,b,2,{exact},"[""a"", ""b""]","[0.5, 0.4999999]",true', "q,u,a,3,,a,1,0")
    names = ("request_external", "position", "item_external", "reward", "propensity", "propensity_kind", "candidates")
    assert found.accepted.select(names).rows() == [
        ("q", 0, "a", 1.0, 0.25, "item_position", ["a", "b"]),
        ("q", 1, "b", 1.0, float(exact), "item_position", ["a", "b"]),
        ("q", 2, "a", 0.0, None, None, ["a"]),
    ]


@pytest.mark.parametrize(
    ("rule", "rewards"),
    [
        ("rewards = {click = 1, purchase = 5.5}", [0.0, 1.0, 5.5]),
        ("reward_at_least = 3", [0.0, 0.0, 1.0]),
    ],
)
def test_a_reward_follows_its_rule(tmp_path, rule, rewards):
    content = "page\twhat\tdid\tmuch\n" + "".join(f"q\ti\t{did}\t{i}\n" for i, did in enumerate("sco", start=1))
    toml = f"""{rule}
[source.columns]
request = "page"
item = "what"
behaviour = "did"
value = "much"
[source.behaviours]
s = "view"
c = "click"
o = "purchase"
"""
    found = stage_own(write_own(tmp_path, content, toml, "log.tsv"))
    assert found.accepted["reward"].to_list() == rewards
    assert found.accepted["user_external"].unique().to_list() == ["q"]

"""trivago: one file, read as actions on items and as the lists behind clickouts; another of what the items have."""

from datetime import UTC, datetime

import polars as pl
import pytest

from tests.staged import stage_lines, stage_source, told

HEADER = (
    "user_id,session_id,timestamp,step,action_type,reference,platform,city,device,current_filters,impressions,prices"
)
AT = datetime(2018, 11, 7, 14, 5, 23, tzinfo=UTC)
CITY = 'FR,"Marseille, France",tablet,'
GOOD = [
    f"u,s,1541599523,1,interaction item image,12,{CITY},,",
    f"u,s,1541599523,2,search for item,13,{CITY},,",
    f"u,s,1541599523,3,clickout item,12,{CITY},11|12|13,71|107|119",
]
NO_ITEM = [
    f"u,s,1541599523,4,filter selection,4,{CITY},,",
    f'u,s,1541599523,5,search for destination,"Niagara Falls, Canada",{CITY},,',
    f"u,s,1541599523,6,interaction item info,unknown,{CITY},,",
]
ELSEWHERE = [
    f"u,s,1541599523,7,clickout item,,{CITY},11|12,1|2",
    f"u,s,1541599523,8,clickout item,99,{CITY},11|12,1|2",
]
BAD = {  # line: the column and the reason as an event; as a list
    f",s,1541599523,1,clickout item,12,{CITY},12,1": (("user_id", "empty"),) * 2,
    f"u,,1541599523,1,clickout item,12,{CITY},12,1": (("session_id", "empty"),) * 2,
    f"u,s,1541599523000,1,clickout item,12,{CITY},12,1": (
        ("timestamp", "after 2100: seconds are expected, not milliseconds"),
    ) * 2,
    f"u,s,1541599523.5,1,clickout item,12,{CITY},12,1": (("timestamp", "not a whole number of seconds"),) * 2,
    f"u,s,-1,1,clickout item,12,{CITY},12,1": (("timestamp", "before 1970"),) * 2,
    "u,s,1541599523,1,clickout item,12": ((None, "6 fields instead of 12"),) * 2,
    f"u,s,1541599523,1,teleport,12,{CITY},,": (("action_type", "not an action of the log"), None),
    f"u,s,1541599523,1,clickout item,Ritz,{CITY},12,1": (("reference", "not an item number"), None),
    f"u,s,1541599523,,clickout item,12,{CITY},12,1": (None, ("step", "not a whole number")),
    f"u,s,1541599523,1,clickout item,12,{CITY},12||13,1": (None, ("impressions", "not a list of item numbers")),
    f"u,s,1541599523,1,clickout item,12,{CITY},,": (None, ("impressions", "not a list of item numbers")),
    f"u,s,1541599523,1,clickout item,1,{CITY},{'|'.join(map(str, range(1001)))},": (
        None, ("impressions", "more than 1000 items"),
    ),
}  # fmt: skip


def staged(folder, *lines: str):
    """The lines as events and as slates."""
    return stage_lines("trivago", folder, train__csv=[HEADER, *lines])


def test_actions_on_items_are_events_and_clickouts_are_lists(tmp_path):
    events, slates = staged(tmp_path, *GOOD, *NO_ITEM, *ELSEWHERE)
    assert told(events) == [
        ("u", "12", "s", "interaction_item_image", None, AT),
        ("u", "13", "s", "search_for_item", None, AT),
        ("u", "12", "s", "click", None, AT),
        ("u", "99", "s", "click", None, AT),
    ]
    assert events.counts.dropped == {"no item": len(NO_ITEM) + 1}
    names = ("request_external", "user_external", "moment", "position", "item_external", "reward", "propensity")
    assert told(slates, *names) == [
        ("s-3", "u", AT, 0, "11", 0.0, None),
        ("s-3", "u", AT, 1, "12", 1.0, None),
        ("s-3", "u", AT, 2, "13", 0.0, None),
    ]
    assert slates.counts.dropped == {"no clickout": 2 + len(NO_ITEM), "click withheld": 1, "click outside the list": 1}
    assert not events.rejects + slates.rejects


def test_a_bad_line_is_rejected_once_with_its_column(tmp_path):
    for kind, part in enumerate(staged(tmp_path, *BAD)):
        wanted = [(line, *fault[kind]) for line, fault in enumerate(BAD.values(), 2) if fault[kind] is not None]
        assert part.rejects == wanted


def test_an_item_shown_twice_is_clicked_once(tmp_path):
    _, slates = staged(tmp_path, f"u,s,1541599523,3,clickout item,12,{CITY},11|12|12,1|2|2")
    assert slates.accepted["reward"].to_list() == [0.0, 1.0, 0.0]


def test_what_a_hotel_has_are_facts_about_it(tmp_path):
    described = [
        "item_id,properties",
        "12,Satellite TV|Golf Course| 4 Star ||Golf Course",
        '13,"Bar, with view|Sauna"',
        "14,",
        "Ritz,Bar",
        ",Bar",
        "15",
    ]
    *_, facts = stage_lines("trivago", tmp_path, train__csv=[HEADER, *GOOD], item_metadata__csv=described)
    assert told(facts, "head_external", "relation", "tail_external") == [
        ("12", "item.property", "property:4 Star"),
        ("12", "item.property", "property:Golf Course"),
        ("12", "item.property", "property:Satellite TV"),
        ("13", "item.property", "property:Bar, with view"),
        ("13", "item.property", "property:Sauna"),
    ]
    assert facts.counts.dropped == {"no properties": 1}
    assert facts.rejects == [
        (5, "item_id", "not a whole number"),
        (6, "item_id", "not a whole number"),
        (7, None, "1 fields instead of 2"),
    ]


@pytest.mark.data
def test_every_row_of_the_real_log_is_accounted_for(data, tmp_path):
    events, slates = stage_source("trivago", data / "trivago-val-100k", tmp_path)
    assert not events.rejects + slates.rejects
    assert events.counts.dropped == {"no item": 2_948 + 5_303 + 3_060 + 1_080 + 4}
    assert events.counts.read == 100_003 == events.counts.accepted + events.counts.dropped["no item"]
    assert (events.accepted["behaviour"] == "click").sum() == 13_597
    assert slates.counts.dropped == {"no clickout": 100_003 - 13_597, "click outside the list": 1}
    lists = slates.accepted.group_by("request_external", "user_external").agg(pl.col("reward").sum(), pl.len())
    assert lists.height == 13_596
    assert set(lists["reward"]) == {1.0}
    assert lists["len"].max() == 25

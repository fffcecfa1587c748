"""A guessed mapping loads, stages a clean stranger's file at once, and says where it could not guess."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from rlrec.errors import InputError
from tasks.sources.infer import clock_of, infer
from tasks.sources.mapping import load_mapping
from tasks.sources.registry import MAX_REJECT_SHARE
from tests.own import Understood, stage_own

RECORDS = [(f"u{i % 3}", f"p{i % 7}", "view" if i % 4 else "add_to_cart", 1_700_000_000 + 60 * i) for i in range(50)]


def table(separator: str, header: str, *, scale: int = 1, end: str = "\n") -> str:
    """The records, separated."""
    rows = [separator.join([user, item, did, str(at * scale)]) for user, item, did, at in RECORDS]
    return end.join([*([separator.join(header.split())] if header else []), *rows, ""])


def nested() -> str:
    """The records as JSON lines."""
    rows = [{"ctx": {"userId": user, "é": 1}, "product": {"sku": item}, "eventType": did, "ts": at * 1000}
            for user, item, did, at in RECORDS]  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in rows)


STRANGERS = {
    "csv": ("log.csv", table(",", "visitor_id SKU event_type timestamp")),
    "byte order mark, semicolons, CRLF": ("log.txt", "\ufeff" + table(";", "Kunde Artikel Aktion Zeit", end="\r\n")),
    "tabs, no header, milliseconds": ("log", table("\t", "", scale=1000)),
    "double colons": ("log.dat", table("::", "")),
    "pipes, nanoseconds": ("log.csv", table("|", "customer asin action ts", scale=10**9)),
    "quoted newlines": ("log.csv", table(",", "user item event at note").replace("\n", ',"a, ""b""\nc"\n').replace(
        'note,"a, ""b""\nc"', "note", 1)),
    "json lines": ("log.jsonl", nested()),
}  # fmt: skip


def inferred(file: Path, folder: Path, most: float = MAX_REJECT_SHARE) -> Understood:
    """Infer, load, stage; by default as strictly as an ingestion."""
    mapping = folder / "guess.toml"
    mapping.write_text(infer(file, folder), encoding="utf-8")
    return stage_own(mapping, most)


@pytest.mark.parametrize("case", STRANGERS)
def test_a_strangers_file_is_understood_at_the_first_try(tmp_path, case):
    name, content = STRANGERS[case]
    (tmp_path / name).write_bytes(content.encode())
    found = inferred(tmp_path / name, tmp_path)
    names = ("user_external", "item_external", "behaviour", pl.col("moment").dt.epoch("s"))
    meant = {"view": "view", "add_to_cart": "cart"}
    assert found.accepted.select(names).rows() == [(user, item, meant[did], at) for user, item, did, at in RECORDS]


def awkward(header: str, clock: str = "{:%Y-%m-%d %H:%M:%S}", *, did: str = "view", line: str = "{},{},{},{}") -> str:
    """Three hundred records of twelve people, in somebody's notation."""
    start = datetime(2023, 11, 14, tzinfo=UTC)
    rows = [
        line.format(f"u{i % 12}", f"p{i % 70}", did, clock.format(start + timedelta(minutes=i))) for i in range(300)
    ]
    return "\n".join([*([header] if header else []), *rows, ""])


AWKWARD = {  # name, bytes, what the mapping must say
    "a comma before fractions": (
        awkward("Kunde;Artikel;Bewertung;Datum", "{:%d.%m.%Y %H:%M}", did="3,5", line="{};{};{};{}").encode(),
        ('decimal = ","', 'value = "Bewertung"'),
    ),
    "accents in latin-1": (
        awkward("client,produit,événement,date", "{:%d/%m/%Y %H:%M}", did="achat").encode("latin-1"),
        ('encoding = "cp1252"', 'behaviour = "événement"', '"achat" = "purchase"'),
    ),
    "half days": (awkward("user,item,event,when", "{:%m/%d/%Y %I:%M %p}").encode(), ('format = "%m/%d/%Y %I:%M %p"',)),
    "hours": (awkward("user,item,event,time", "{:%Y-%m-%d %H}").encode(), ('format = "%Y-%m-%d %H"',)),
    "blanks and a separator at each end": (
        awkward(" User ID , Item ID , Event , Time ,", line=" {} , {} ,{}, {} ,").encode(),
        ('user = " User ID "',),
    ),
    "few people, no header": (awkward("").encode(), ('user = "column_1"', 'item = "column_2"')),
    "a key around the id": (
        awkward("", line='{{"who":{{"user":{{"id":"{}"}}}},"what":{{"item.id":"{}"}},"verb":"{}","ts":"{}"}}').encode(),
        ('user = "who.user.id"', 'item = "/what/item.id"'),
    ),
}


@pytest.mark.parametrize("case", AWKWARD)
def test_an_awkward_file_is_understood_at_the_first_try(tmp_path, case):
    content, says = AWKWARD[case]
    file = tmp_path / ("log.jsonl" if content.startswith(b"{") else "log.csv")
    file.write_bytes(content)
    found = inferred(file, tmp_path, 0.0)
    told = (tmp_path / "guess.toml").read_text(encoding="utf-8")
    assert [line for line in says if line not in told] == []
    assert found.accepted["user_external"].to_list() == [f"u{i % 12}" for i in range(300)]
    assert found.accepted["item_external"].to_list() == [f"p{i % 70}" for i in range(300)]
    assert found.accepted["moment"].dt.date().unique().to_list() == [date(2023, 11, 14)]
    if "Bewertung" in told:
        assert set(found.accepted["value"]) == {3.5}


UNMENDED = {  # what no mapping can mend is said
    "days of a sheet": ("user,item,event,date\n" + "a,p,view,45244.5\nb,q,view,45245\n" * 9, "counts days since 1900"),
    "a time of day apart": (
        "user,item,event,date,time\n" + "a,p,view,2023-11-14,10:00\nb,q,view,2023-11-15,09:30:01\n" * 9,
        "put it behind the date",
    ),
    "numbers for what was done": (
        "user_id,item_id,behavior_type,time\n" + "a,p,1,2023-11-14 10\nb,q,4,2023-11-15 09\n" * 9,
        'what\n# "1", "4" mean',
    ),
    "fractions of ids": ("user,item,rating\n" + "1.0,7.0,3\n2.0,8.0,4\n" * 9, '"1.0" here is not "1" in another'),
    "a preamble": ("# by hand\nuser,item,event,ts\n" + "a,p,view,1700000000\n" * 200, "1 lines before the header"),
}


@pytest.mark.parametrize("case", UNMENDED)
def test_what_no_mapping_can_mend_is_said(tmp_path, case):
    content, said = UNMENDED[case]
    (tmp_path / "log.csv").write_text(content, encoding="utf-8")
    inferred(tmp_path / "log.csv", tmp_path, 0.02)
    assert said in (tmp_path / "guess.toml").read_text(encoding="utf-8")


def test_a_parquet_file_of_slates_is_understood(tmp_path):
    frame = pl.DataFrame(
        {"request_id": [1, 1, 2], "user_id": [7, 7, 8], "item_id": [1, 2, 1], "position": [1, 2, 1],
         "click": [True, False, False], "propensity": [0.5, 0.25, 0.125], "candidates": [[1, 2], [1, 2], [1, 3]]}
    )  # fmt: skip
    frame.write_parquet(tmp_path / "shown.parquet")
    found = inferred(tmp_path / "shown.parquet", tmp_path)
    assert found.accepted.select("position", "reward", "propensity", "candidates").rows() == [
        (0, 1.0, 0.5, ["1", "2"]),
        (1, 0.0, 0.25, ["1", "2"]),
        (0, 0.0, 0.125, ["1", "3"]),
    ]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["1700000000"], {"unit": "s"}),
        (["1700000000.5", ""], {"unit": "s"}),
        (["2024-01-01T00:00:00Z"], {"format": "iso"}),
        (["2024-01-01"], {"format": "iso", "zone": "UTC"}),
        (["31.12.2024 23:59"], {"format": "%d.%m.%Y %H:%M", "zone": "UTC"}),
        (["12/31/2024", "01/02/2024"], {"format": "%m/%d/%Y", "zone": "UTC"}),
        (["20241231"], {"format": "%Y%m%d", "zone": "UTC"}),
        (["Tue Dec 31 23:59:00 +0100 2024"], {"format": "%a %b %d %H:%M:%S %z %Y"}),
    ],
)
def test_a_clock_is_recognised(values, told):
    found = clock_of(values)
    assert found is not None
    assert found[0] == told


@pytest.mark.parametrize("values", [[], [""], ["17"], ["noon"], ["1700000000", "4"]])
def test_what_is_no_clock_is_not_taken_for_one(values):
    assert clock_of(values) is None


def test_what_cannot_be_guessed_is_said_in_place(tmp_path):
    (tmp_path / "log.csv").write_text("sku,event\n" + "p1,view\np2,x'y\n" * 200)
    told = infer(tmp_path / "log.csv")
    assert "# user = ?" in told
    assert "# time = ?" in told
    assert 'dropped, and counted: "x\'y"' in told
    (tmp_path / "guess.toml").write_text(told)
    with pytest.raises(InputError, match="columns lacks user"):
        load_mapping(tmp_path / "guess.toml")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.csv", b"", "empty"),
        ("log.csv", b"\xff\xfea\x00", "UTF-16"),
        ("log.json", b'[\n{"a": 1}]', "one object a line"),
        ("log.csv.gz", b"no", "damaged"),
        ("log.xlsx", b"PK\x03\x04\x14\x00\x06\x00", "save it as csv"),
    ],
)
def test_a_file_that_no_mapping_can_describe_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        infer(tmp_path / name)


REAL = {
    "retailrocket/events.csv.gz": (104_776, {}),
    "yoochoose-100k/yoochoose-clicks.dat.gz": (83_846, {}),
    "trivago-val-100k/trivago_val_100k.csv.gz": (13_597, {"behaviour not listed": 86_406}),
    "ml-100k/u.data.gz": (100_000, {}),
    "kuairand-explicit/log_standard_like_hate_kcore15.tsv.gz": (41_828, {}),
}


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_a_public_file_is_understood_at_the_first_try(data, tmp_path, name):
    accepted, dropped = REAL[name]
    found = inferred(data / name, tmp_path)
    assert (found.counts.accepted, found.counts.dropped, found.counts.quarantined) == (accepted, dropped, 0)

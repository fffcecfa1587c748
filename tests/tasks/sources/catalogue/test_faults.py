"""Whatever is wrong with a file of any public source, nothing else is lost, and the refusal says what to change."""

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from rlrec.errors import InputError
from tasks.blocks import BYTE_ORDER_MARK
from tasks.database import connect
from tasks.sources import fetch
from tasks.sources.catalogue import Feed, Part
from tasks.sources.catalogue.bundles import BUNDLES
from tasks.sources.catalogue.logs import LogPart
from tasks.sources.registry import RawFile
from tasks.staging import Counts, stage
from tests.accepted import judged_of
from tests.official import SAMPLES

SEPARATORS = ("\t", ",", ";", "|", "::")
ODD = (
    "", " ", "nan", "NULL", "inf", "-1", "0", "-0.0", "1.5", "1e400", "9" * 20, "9" * 400, "2147483648",
    "4102444800001", "2020-13-45", "1969-12-31T23:59:59Z", "0001-01-01", "ä\u2028ß🙂", "\x00", "[", "[7,", "{}",
    "'; drop table block; --", "a/b\\c", "7|8||9", "x" * 10_000,
)  # fmt: skip
"""Values that stand somewhere in somebody's log."""
ODD_JSON = (
    None, True, "", " ", [], {}, [None], [[]], {"a": None}, [{"text": 1}], -1, 7, 1.5, 10**30, 1e308, "nan",
    "ä\u2028🙂", "2020-13-45",
)  # fmt: skip
NO_TEXT = b"\xe9\xff\xfe"
NAMED_BY_LINE = {
    f"staging/{name}.sql" for name in ("indexed_names", "indexed_relation", "session_items", "unicrs_dialogues")
}


def different() -> dict[str, tuple[str, str]]:
    """Each file of each source, but once where several are laid out and judged alike: source and path by a name."""
    found: dict[tuple[object, ...], tuple[str, str]] = {}
    for name, bundle in BUNDLES.items():
        for file, text in SAMPLES[name].items():
            parts = [part for part in bundle.parts if Path(file).match(part.name)]
            alike = [type(part.statement) if isinstance(part, Part) else LogPart for part in parts]
            found.setdefault((text, *alike), (name, file))
    return {f"{name} {file}": (name, file) for name, file in found.values()}


FILES = different()


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """One database for all."""
    with connect(tmp_path_factory.mktemp("database")) as opened:
        yield opened


class Sample:
    """A file of a source, to be staged with one content after another."""

    def __init__(self, name: str, file: str, folder: Path, connection) -> None:
        self.folder, self.connection, self.number = folder, connection, 0
        for path, text in SAMPLES[name].items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        self.feeds = [feed for feed in fetch(name, folder).feeds if feed.file == folder / file]
        form = self.feeds[0].form
        lines = [line.encode(form.encoding) for line in SAMPLES[name][file].splitlines()]
        self.head, self.body = lines[: int(form.header)], lines[int(form.header) :]

    @property
    def whole(self) -> bytes:
        """The file."""
        return joined(self.head + self.body)

    def stage(self, feed: Feed, content: bytes, ending: str = "", most: float = 1.0) -> tuple[Counts, list[tuple]]:
        """What becomes of this content: the counts, and what the rows of each line say, in order."""
        self.number += 1
        file = self.folder / f"content{self.number}{ending}"
        file.write_bytes(content)
        target = self.folder / f"staged{self.number}"
        given = replace(feed, file=file)
        done = stage(given, target, self.connection, max_reject_share=most)
        counts, rows = done.counts, judged_of(given, self.connection)
        assert counts.lines == counts.header + counts.blank + counts.continued + counts.read
        assert counts.rows == counts.accepted + counts.quarantined + sum(counts.dropped.values()) == rows.height
        assert pl.read_parquet(done.rejects)["reason"].is_not_null().sum() == counts.quarantined
        by_line = rows.sort("line", *rows.columns[1:], maintain_order=True).group_by("line", maintain_order=True)
        return counts, [part.drop("line").rows() for _, part in by_line]


def joined(lines: list[bytes]) -> bytes:
    """As text."""
    return b"".join(line + b"\n" for line in lines)


@pytest.fixture(params=FILES)
def sample(request, tmp_path, connection) -> Sample:
    """Each file of each source."""
    return Sample(*FILES[request.param], tmp_path, connection)


@pytest.mark.slow
def test_one_content_in_any_dress_is_one_content(sample):
    whole = sample.whole
    dresses = [
        (whole.replace(b"\n", b"\r\n"), ""),
        (whole.replace(b"\n", b"\r"), ""),
        (whole.replace(b"\n", b"\r\n", 1), ""),
        (whole.rstrip(b"\n"), ""),
        (gzip.compress(whole), ".gz"),
    ]
    for feed in sample.feeds:
        plain = sample.stage(feed, whole)
        assert plain[0].accepted
        assert not plain[0].quarantined
        for content, ending in dresses if feed.form.encoding != "utf-8" else [(BYTE_ORDER_MARK + whole, ""), *dresses]:
            (counts, rows), (_, expected) = sample.stage(feed, content, ending), plain
            assert (counts, rows) == (plain[0], expected)


def bad_lines(good: bytes, form: RawFile) -> dict[str, bytes]:
    """A record that something happened to."""
    bad = {"no text": NO_TEXT, "cut": good[: len(good) // 2], "zeros": b"\x00" * 9, "twice": good + good}
    if form.kind == "fields":
        between = form.separator.encode()
        bad |= {"more": good + between + b"7", "fewer": good.rpartition(between)[0]}
    if form.quote:
        bad["open quote"] = good.replace(between, between + b'"', 1)
    return bad


@pytest.mark.slow
def test_a_bad_line_harms_no_other(sample):
    for feed in sample.feeds:
        clean = sample.stage(feed, sample.whole)[1]
        place = len(sample.body) if feed.statement.file in NAMED_BY_LINE else 1
        for fault, bad in bad_lines(sample.body[0], feed.form).items():
            lines = [*sample.head, *sample.body[:place], bad, *sample.body[place:]]
            counts, rows = sample.stage(feed, joined(lines))
            assert counts.read == len(sample.body) + 1, fault
            assert rows[:place] + rows[place + 1 :] == clean, fault
            assert counts.quarantined or fault not in ("more", "fewer"), fault


def odd_lines(good: bytes, form: RawFile) -> list[bytes]:
    """The record with each odd value in each of its places."""
    text = good.decode()
    if text.startswith(("{", "[")):
        record = json.loads(text)
        keys = list(record) if isinstance(record, dict) else range(len(record))
        whole = [json.loads(text) for _ in ODD_JSON]
        found = [
            value | {key: odd} if isinstance(value, dict) else [*value[:key], odd, *value[key + 1 :]]
            for key in keys
            for value, odd in zip(whole, ODD_JSON, strict=True)
        ]
        return [json.dumps(line, ensure_ascii=False).encode() for line in [*found, *ODD_JSON]]
    separator = form.separator or " "
    parts = next(csv.reader([text], delimiter=separator)) if form.quote else text.split(separator)
    lines = [[*parts[:place], odd, *parts[place + 1 :]] for place in range(len(parts)) for odd in ODD]
    quoted = [['"' + part.replace('"', '""') + '"' for part in line] for line in lines] if form.quote else lines
    return [separator.join(line).encode() for line in quoted]


def test_an_odd_value_harms_its_own_record_at_most(sample):
    for feed in sample.feeds:
        clean = sample.stage(feed, sample.whole)[1]
        odd = odd_lines(sample.body[0], feed.form)
        counts, rows = sample.stage(feed, joined([*sample.head, *sample.body, *odd, sample.body[0]]))
        assert counts.read + counts.blank == len(sample.body) + len(odd) + 1
        assert rows[: len(clean)] == clean
        if feed.statement.file not in NAMED_BY_LINE:
            assert rows[-1] == clean[0]


def test_an_unusable_file_is_refused_with_a_remedy(sample):
    whole = sample.whole
    for feed in sample.feeds:
        form = feed.form
        faults = {
            "empty": (b"", "", "the file is empty"),
            "blank": (b"\n \n\n", "", "no rows|header line lacks"),
            "wide": (whole.decode(form.encoding).encode("utf-16"), "", "UTF-16"),
            "cut archive": (gzip.compress(whole * 9)[:-12], ".gz", "damaged"),
        }
        if form.encoding == "utf-8":  # to others, all bytes are text
            faults["no text"] = (joined([*sample.head, *[NO_TEXT] * 9]), "", "not UTF-8")
        if form.header:
            faults["header alone"] = (joined(sample.head), "", "the file holds no rows")
            faults["no header"] = (joined(sample.body * 9), "", "the header line lacks")
        if form.kind == "fields":
            other = next(each for each in SEPARATORS if each != form.separator and each.encode() not in whole)
            swapped = whole.replace(form.separator.encode(), other.encode())
            faults["separator"] = (swapped, "", "separated by|fields instead of")
        for fault, (content, ending, words) in faults.items():
            with pytest.raises(InputError, match=words) as refusal:
                sample.stage(feed, content, ending, most=0.01)
            assert (refusal.value.file, fault) == (str(sample.folder / f"content{sample.number}{ending}"), fault)
            assert refusal.value.remedy
            assert len(str(refusal.value).splitlines()) <= 5

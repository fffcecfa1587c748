"""The mapping of own logs: typed, found from its folder, and clear about mistakes."""

import zipfile

import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel, TypeAdapter

from rlrec.errors import InputError
from tasks.sources.mapping import load_mapping
from tasks.sources.registry import MAX_REJECT_SHARE
from tests.own import stage_own, write_own

LOG = "u,i,t\na,x,1700000000\nb,y,1700000001\n"
PLAIN = 'behaviour = "view"\n[source.columns]\nuser = "u"\nitem = "i"\ntime = "t"\n[source.time]\nunit = "s"\n'


def test_files_are_found_from_the_mappings_folder_each_once(tmp_path):
    (tmp_path / "logs" / "in").mkdir(parents=True)
    for name in ("logs/b.csv", "logs/a[1].csv", "logs/in/c.csv"):
        (tmp_path / name).write_text(LOG)
    mapping = tmp_path / "shop.toml"
    mapping.write_text(f'[[source]]\nfiles = ["logs/*.csv", "logs/a[1].csv", "logs/**/c.csv"]\n{PLAIN}')
    loaded = load_mapping(mapping)
    assert loaded.name == "shop"
    assert [feed.name for feed in loaded.feeds()] == ["logs/a[1].csv", "logs/b.csv", "logs/in/c.csv"]


def gzipped(text: bytes) -> bytes:
    """As gzip writes it."""
    return pa.compress(text, "gzip", asbytes=True)


STRANGERS = {
    "byte order mark": ("log.csv", b"\xef\xbb\xbf" + LOG.encode(), ""),
    "semicolons": ("log.csv", LOG.replace(",", ";"), 'separator = ";"'),
    "quotes inside quotes": ("log.csv", LOG.replace("x", '"x ""y"""'), ""),
    "embedded newlines": ("log.csv", LOG.replace("x", '"x\ny"'), ""),
    "other quotes": ("log.csv", LOG.replace("x", "'x\n,y'"), 'quote = "\'"'),
    "mixed line ends": ("log.csv", "u,i,t\r\na,x,1700000000\rb,y,1700000001", ""),
    "tabs, no header": ("log.tsv", LOG.replace(",", "\t")[6:], 'header = false\nnames = ["u", "i", "t"]'),
    "stray quotes in tabs": ("log.tsv", LOG.replace(",", "\t").replace("x", '"x'), ""),
    "latin-1": ("log.csv", LOG.replace("x", "é").encode("latin-1"), 'encoding = "latin-1"'),
    "gz": ("log.csv.gz", gzipped(LOG.encode()), ""),
    "zst": ("log.csv.zst", pa.compress(LOG.encode(), "zstd", asbytes=True), ""),
    "json lines": ("log.jsonl", '{"u": "a", "i": "x", "t": 1700000000}\n{"u": "b", "i": "y", "t": 1700000001}', ""),
    "more columns": ("log.csv", "z,t,i,u\n1,1700000000,x,a\n1,1700000001,y,b\n", ""),
}


@pytest.mark.parametrize("case", STRANGERS)
def test_a_strangers_file_is_read(tmp_path, case):
    name, content, layout = STRANGERS[case]
    found = stage_own(write_own(tmp_path, content, f"{layout}\n{PLAIN}", name))
    assert found.accepted["user_external"].to_list() == ["a", "b"]
    assert found.accepted["moment"].dt.epoch("s").to_list() == [1_700_000_000, 1_700_000_001]
    item = {"quotes inside quotes": 'x "y"', "embedded newlines": "x\ny", "other quotes": "x\n,y",
            "stray quotes in tabs": '"x', "latin-1": "é"}.get(case, "x")  # fmt: skip
    assert found.accepted["item_external"].to_list() == [item, "y"]


def test_a_zip_of_one_file_is_read_whatever_path_it_claims(tmp_path):
    with zipfile.ZipFile(tmp_path / "log.csv.zip", "w") as archive:
        archive.writestr("../../evil.csv", LOG)
    mapping = write_own(tmp_path, (tmp_path / "log.csv.zip").read_bytes(), PLAIN, "log.csv.zip")
    assert stage_own(mapping).counts.accepted == 2
    assert not list(tmp_path.parent.glob("evil.csv"))
    with zipfile.ZipFile(tmp_path / "log.csv.zip", "a") as archive:
        archive.writestr("more.csv", LOG)
    with pytest.raises(InputError, match="the archive holds 2 files, expected one"):
        load_mapping(mapping).feeds()


def test_parquet_comes_typed(tmp_path):
    frame = pl.DataFrame({"u": [1, 2, None], "i": ["x", "y", "z"], "v": [0.5, None, 1.0], "t": [0, 1, 2]}).with_columns(
        pl.lit("2024-07-01 12:00:00").str.to_datetime(time_unit="ns").alias("t")
    )
    frame.write_parquet(tmp_path / "log.parquet")
    toml = PLAIN.replace('unit = "s"', 'format = "iso"\nzone = "Europe/Berlin"').replace(
        'user = "u"', 'user = "u"\nvalue = "v"'
    )
    found = stage_own(write_own(tmp_path, (tmp_path / "log.parquet").read_bytes(), toml, "log.parquet"))
    assert found.accepted.select("user_external", "value").rows() == [("1", 0.5), ("2", None)]
    assert found.accepted["moment"].dt.hour().to_list() == [10, 10]
    assert found.rejects == [(3, "u", "empty")]
    with pytest.raises(InputError, match="holds times, not numbers"):
        load_mapping(write_own(tmp_path, (tmp_path / "log.parquet").read_bytes(), PLAIN, "log.parquet")).feeds()


def test_too_many_rejects_are_refused_with_the_reason(tmp_path):
    with pytest.raises(InputError, match="these look like milliseconds") as fault:
        stage_own(write_own(tmp_path, LOG.replace("170000000", "170000000000"), PLAIN), most=MAX_REJECT_SHARE)
    assert (fault.value.column, fault.value.rows) == ("t", 2)


class Filter(BaseModel, extra="forbid"):
    """Stands for a type that others bring."""

    k: int


MISTAKES = {
    "unknown key": ("seperator = ';'", PLAIN, "no key 'source[1].seperator'; the nearest is 'source.separator'"),
    "unknown role": ("", PLAIN.replace('item = "i"', 'item = "i"\nusr = "u"'), "nearest is 'source.columns.user'"),
    "no item": ("", PLAIN.replace('item = "i"', ""), "'source[1].columns.item' is missing"),
    "no user": ("", PLAIN.replace('user = "u"', ""), "columns lacks user, the column that says who"),
    "no behaviour": ("", PLAIN.replace('behaviour = "view"', ""), "say what a record is"),
    "no such zone": ("", PLAIN.replace('unit = "s"', 'format = "iso"\nzone = "Europe/Berln"'), "'Europe/Berlin'?"),
    "no such format": ("", PLAIN.replace('unit = "s"', 'format = "%Q"'), "is no time format"),
    "unit and format": ("", PLAIN + 'format = "iso"\n', "either unit or format"),
    "no such encoding": ("encoding = 'utf-9'", PLAIN, "there is no encoding 'utf-9'"),
    "names with a header": ("names = ['a']", PLAIN, "header = false"),
    "slates without a rule": ("", PLAIN.replace('user = "u"', 'request = "u"'), "one rule for the reward"),
    "propensity of events": ("", PLAIN.replace('user = "u"', 'user = "u"\npropensity = "p"'), "propensity is about"),
    "not TOML": ("= 1", PLAIN, "not valid TOML"),
    "a union of others": ("", PLAIN + "[[filters]]\nkk = 3\n", "no key 'filters[1].kk'; the nearest is 'k'"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_says_what_would_be_right(tmp_path, case):
    top, toml, said = MISTAKES[case]
    with pytest.raises(InputError) as fault:
        load_mapping(write_own(tmp_path, LOG, f"{top}\n{toml}"), {"filters": TypeAdapter(tuple[Filter, ...])})
    assert said in str(fault.value)


@pytest.mark.parametrize(
    ("name", "content", "toml", "said"),
    [
        ("log.csv", LOG, PLAIN.replace('"i"', '"ii"'), "no column 'ii' for the role item; the nearest is 'i'"),
        ("log.csv", LOG.replace(",", ";"), PLAIN, "separated by ';', expected ','"),
        ("log.bin", LOG, PLAIN, "the ending does not tell the format"),
        ("log.csv", "", PLAIN, "the file is empty"),
        ("log.csv", "u,i,t\n", PLAIN, "holds no rows"),
        ("log.csv", b"\xff\xfeu\x00", PLAIN, "UTF-16"),
        ("log.parquet", LOG, PLAIN, "Parquet file cannot be read"),
        ("log.csv.gz", LOG, PLAIN, "damaged"),
        ("log.csv.zst", LOG, PLAIN, "damaged"),
        ("log.csv.zip", LOG, PLAIN, "damaged"),
    ],
)
def test_a_file_that_does_not_fit_says_so(tmp_path, name, content, toml, said):
    with pytest.raises(InputError) as fault:
        stage_own(write_own(tmp_path, content, toml, name))
    assert said in str(fault.value)


@pytest.mark.parametrize(("files", "said"), [("none*.csv", "no file has this name"), (".", "this is a folder")])
def test_files_that_are_not_there_are_named(tmp_path, files, said):
    mapping = tmp_path / "own.toml"
    mapping.write_text(f'[[source]]\nfiles = "{files}"\n{PLAIN}')
    with pytest.raises(InputError, match=said):
        load_mapping(mapping).feeds()

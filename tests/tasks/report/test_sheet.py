"""The sheet shows what the files hold, loads nothing, and takes any name for text."""

import json
import re
from pathlib import Path

import polars as pl
import pytest

from tasks.estimates import estimate_from_parquet
from tasks.report.sheetgrids import MOST_PARTS
from tests.ope.test_streaming import log
from tests.tasks.report.markup import read

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module", params=[False, True], ids=["in memory", "one pass"])
def out(request, tmp_path_factory) -> Path:
    """Two policies on one log, one of them with a name that is markup."""
    folder = tmp_path_factory.mktemp("sheet")
    frame = log(1_000)
    columns = ("event", "target_probability", "q_hat", "q_hat_target")
    pl.concat(
        [frame.select(columns).with_columns(target_policy=pl.lit(name)) for name in ("new", HOSTILE)]
    ).write_parquet(folder / "targets.parquet")
    frame.drop(columns[1:]).write_parquet(folder / "logs.parquet")
    names = None if request.param else ["snips", "clipped_ips@2", "clipped_ips@4"]
    files = folder / "logs.parquet", folder / "targets.parquet"
    estimate_from_parquet(*files, folder / "out", one_pass=request.param, estimators=names)
    return folder / "out"


def test_every_estimate_rule_and_difference_stands_in_the_page(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'data-value="([^"]*)"', page))
    told = json.loads((out / "estimates.json").read_text())
    assert told["estimates"]
    for one in told["estimates"]:
        assert {str(one["value"]), str(one["se"])} <= shown
        assert {str(other["low"]) for other in one["further"]} <= shown
        if one["parameter"] is not None:
            assert f"CLIPPED IPS@{one['parameter']:g}" in page
    for one in json.loads((out / "diagnostics.json").read_text()).values():
        assert {str(failed["value"]) for failed in one["failed"]} <= shown
        assert {str(one["logging_value"]), str(one["diagnostics"]["effective_sample_size"])} <= shown
    gaps = pl.read_parquet(out / "comparison.parquet").filter(pl.col("reference").is_not_null())["value"]
    assert set(map(str, gaps)) <= shown
    assert "expected reward of a log row" in page


def test_names_stay_text_and_nothing_is_loaded(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


def test_parts_plan_and_command_stand_in_the_page(tmp_path):
    frame = log(1_000).with_columns(part=pl.col("request") % 20, target_policy=pl.lit("new"))
    single = frame.filter(pl.col("position") == 1)
    single.write_parquet(tmp_path / "logs.parquet")
    asked = {"by": "part", "half_width": 0.05, "level": 0.9, "estimators": ["ips", "snips"], "one_pass": False}
    estimate_from_parquet(tmp_path / "logs.parquet", None, tmp_path / "out", **asked)
    page = read((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    parts = pl.read_parquet(tmp_path / "out" / "segments.parquet").sort("n", descending=True, maintain_order=True)
    largest = parts.head(MOST_PARTS)
    assert [name for _, name in page.tables["parts"]] == largest["segment"].to_list()
    assert [row[1][1] for row in page.tables["parts"].values()] == list(map(str, largest["value"]))
    plan = json.loads((tmp_path / "out" / "diagnostics.json").read_text())["new"]["plan"]
    assert [row[0][1] for row in page.tables["plan"].values()] == [str(one["requests"]) for one in plan]
    assert {"segments", "weight_curve", "by", "next"} <= page.ids
    command = f"rlrec ope --logs {tmp_path}/logs.parquet --level 0.9 --estimator ips --estimator snips --by part "
    assert f"{command}--plan 0.05 --in-memory --out report" in page.text
    assert (tmp_path / "out" / "curve.png").read_bytes().startswith(b"\x89PNG")

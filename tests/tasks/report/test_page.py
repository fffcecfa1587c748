"""The page: every section, numbers that come from the results and nowhere else, nothing loaded, nothing injected."""

import io
import json
import re
from pathlib import Path

import matplotlib.image
import polars as pl
import pytest

from rlrec.errors import InputError
from tasks.report.page import render
from tasks.report.wording import number
from tests.tasks.report.markup import read
from tests.tasks.report.synthetic import POLICIES, write_results

SECTIONS = {"verdict", "run", "counterfactual", "heldout", "training", "caveats", "glossary", "reproduce"}
FIGURES = {"forest", "weight_curve", "popularity_recall", "learning"}
HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(2)> $a_b$ & "q"'
LARGEST_PAGE = 6_000_000


def test_every_section_and_figure_is_there(rendered: Path) -> None:
    page = read((rendered / "report.html").read_text(encoding="utf-8"))
    assert page.ids >= SECTIONS | FIGURES | {"glance", "policies", "accuracy", "reach", "paired-heldout"}
    assert {file.stem for file in (rendered / "figures").glob("*.png")} == FIGURES
    assert {file.stem for file in (rendered / "figures").glob("*.html")} == FIGURES
    assert "simulated feedback" in page.text
    order = [attributes["id"] for tag, attributes in page.tags if tag in ("header", "section")]
    assert order == ["verdict", "run", "counterfactual", "heldout", "training", "caveats", "glossary", "reproduce"]


def test_every_heldout_number_is_the_input_and_its_rounding(rendered: Path) -> None:
    page = read((rendered / "report.html").read_text(encoding="utf-8"))
    frame = pl.read_parquet(rendered.parent / "results" / "heldout.parquet").filter(pl.col("seed").is_null())
    expected = sorted(frame["value"].to_list())
    cells = [cell for table in ("accuracy", "reach") for row in page.tables[table].values() for cell in row]
    assert sorted(float(str(value)) for _, value in cells) == expected
    assert all(text == number(float(str(value))) for text, value in cells)
    ease = page.tables["accuracy"]["Fitted on train + clicks", "EASE"]
    wanted = frame.filter((pl.col("policy") == "ease_clicks") & (pl.col("metric") == "ndcg@10"))["value"][0]
    assert float(str(ease[page.heads["accuracy"].index("NDCG@10") - 1][1])) == wanted


def test_every_estimate_and_difference_is_the_input(rendered: Path) -> None:
    page, inputs = read((rendered / "report.html").read_text(encoding="utf-8")), rendered.parent / "results"
    estimates = pl.read_parquet(inputs / "estimates.parquet")
    column = page.heads["policies"].index("DR") - 1
    for policy, (label, fitted_on, _, _) in POLICIES.items():
        rows = estimates.filter((pl.col("target_policy") == policy) & (pl.col("estimator") == "dr")).sort("seed")
        name = label if ("", label) in page.tables["policies"] else f"{label} ({fitted_on})"
        shown = page.tables["policies"]["", name][column][1]
        assert shown == (str(rows["value"][0]) if len(rows) else None)
    paired = pl.read_parquet(inputs / "paired.parquet").filter(pl.col("half") == "heldout")
    cells = [cell for row in page.tables["paired-heldout"].values() for cell in row]
    assert sorted(float(str(value)) for _, value in cells) == sorted(paired["difference"].to_list())
    values = pl.read_parquet(inputs / "estimates.parquet")["value"].to_list()
    assert set(map(number, values)) <= set(page.text.split())


def test_the_best_of_each_group_is_marked(rendered: Path) -> None:
    html = (rendered / "report.html").read_text(encoding="utf-8")
    table = html[html.index('id="reach"') : html.index("</table>", html.index('id="reach"'))]
    labels = re.findall(r'data-label="([^"]+)" class="best"', table)
    assert "Gini@10" in labels
    assert "Mean popularity@10" not in labels
    assert labels.count("Coverage@10") == 3


def test_the_page_loads_nothing(rendered: Path) -> None:
    for file in (rendered / "report.html", *(rendered / "figures").glob("*.html")):
        loads = read(file.read_text(encoding="utf-8")).loads
        assert loads
        assert [load for load in loads if not load.startswith(("data:", "#"))] == []
        assert file.stat().st_size < LARGEST_PAGE


def test_images_are_not_blank(rendered: Path) -> None:
    for file in (rendered / "figures").glob("*.png"):
        pixels = matplotlib.image.imread(io.BytesIO(file.read_bytes()), format="png")
        assert pixels[..., :3].std() > 0.05


def test_tables_and_figures_are_described(rendered: Path) -> None:
    page = read((rendered / "report.html").read_text(encoding="utf-8"))
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    assert all(a.get("aria-label") for tag, a in page.tags if tag == "div" and a.get("class") == "plot")
    assert sum(tag == "caption" for tag, _ in page.tags) == len(page.tables)
    assert sum(tag == "h1" for tag, _ in page.tags) == 1


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "results", dataset=HOSTILE)
    for name in ("heldout", "truth", "estimates", "curve"):
        frame = pl.read_parquet(folder / f"{name}.parquet")
        frame.with_columns(pl.col("label").str.replace("EASE", HOSTILE, literal=True)).write_parquet(
            folder / f"{name}.parquet"
        )
    render(folder, tmp_path / "out")
    for file in ("report.html", "figures/forest.html", "figures/popularity_recall.html"):
        html = (tmp_path / "out" / file).read_text(encoding="utf-8")
        assert "<script>alert" not in html
        page = read(html)
        assert not any("onerror" in attributes for _, attributes in page.tags)
        assert all(attributes.get("src", "data:").startswith("data:") for tag, attributes in page.tags if tag == "img")
    assert HOSTILE in read((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).text
    plotted = re.search(r'id="forest-0">(.*?)</script>', html_of(tmp_path / "out"), flags=re.S)
    assert plotted
    assert "<img" not in json.dumps(json.loads(plotted[1]))


def html_of(out: Path) -> str:
    return (out / "report.html").read_text(encoding="utf-8")


def test_only_the_required_files(folder: Path, tmp_path: Path) -> None:
    for name in ("paired", "truth", "estimates", "curve", "training"):
        (folder / f"{name}.parquet").unlink()
    summary = json.loads((folder / "summary.json").read_text())
    kept = {
        key: summary[key] for key in ("dataset", "headline", "counts", "seeds", "git_commit", "started_at", "seconds")
    }
    (folder / "summary.json").write_text(json.dumps(kept | {"headline": None}))
    artifact = render(folder, tmp_path / "out")
    page = read(artifact.path.read_text(encoding="utf-8"))
    assert page.ids >= SECTIONS
    assert "No verdict" in page.text
    assert "no off-policy estimates" in page.text
    assert "simulated" not in page.text
    assert {file.name for file in (tmp_path / "out" / "figures").iterdir()} == {
        "popularity_recall.png",
        "popularity_recall.html",
    }


def test_without_a_simulator_no_truth_is_shown(folder: Path, tmp_path: Path) -> None:
    (folder / "truth.parquet").unlink()
    for name, columns in (("estimates", ["true_value"]), ("curve", ["true_bias", "true_mse"])):
        pl.read_parquet(folder / f"{name}.parquet").drop(columns).write_parquet(folder / f"{name}.parquet")
    page = read(render(folder, tmp_path / "out").path.read_text(encoding="utf-8"))
    assert not any(head.startswith("True value") for head in page.heads["policies"])
    assert "The truth is not known" in page.text
    assert "true bias" not in json.dumps(
        json.loads(re.search(r'id="weight_curve-0">(.*?)</script>', html_of(tmp_path / "out"), re.S)[1])
    )  # type: ignore[index]


@pytest.mark.parametrize("seeds", [(3,), (0, 1, 2, 3, 4)])
def test_any_number_of_seeds(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    page = read(
        render(write_results(tmp_path / "results", seeds=seeds), tmp_path / "out").path.read_text(encoding="utf-8")
    )
    assert ("seed(s)" in page.text) == (len(seeds) < 3)


def test_the_same_results_give_the_same_page(folder: Path, tmp_path: Path, rendered: Path) -> None:
    first, second = render(folder, tmp_path / "one"), render(folder, tmp_path / "two")
    assert first.digest == second.digest
    assert render(folder, tmp_path / "one").digest == first.digest


def test_a_bad_folder_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    (folder / "heldout.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="heldout"):
        render(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()

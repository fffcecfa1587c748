"""The report page: results folder in, one self-contained `report.html` and its figures out."""

import logging
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.artifacts import Artifact, aside, store
from tasks.provenance import propensity_sentence
from tasks.report.exhibits import Exhibit, exhibits, plotly_bundle
from tasks.report.glossary import COLUMNS, ESTIMATORS, METRICS
from tasks.report.grids import (
    estimate_grid,
    glance_grid,
    heldout_grids,
    paired_grid,
    policy_grid,
    reliability_grids,
    seed_grid,
)
from tasks.report.results import Results, Summary, read_results
from tasks.report.wording import caveats, duration, half_of, headline_sentence, percent, reading, support_sentence

TONES = {"better": "good", "higher": "good", "worse": "bad", "lower": "bad"}
COUNTS = {  # key of summary.counts: how it is called
    **{"positives": "positive events", "triples": "graph triples", "quarantined": "rows quarantined"},
    **{"log_train": "training slates", "log_select": "selection slates", "log_eval": "evaluation slates"},
}

log = logging.getLogger(__name__)


def render(results: Path, out: Path) -> Artifact:
    """Write `out/report.html`, and `out/figures/` with every figure as PNG and as an interactive page of its own.

    Raises:
        InputError: the results folder does not keep to the contract in `tasks/report/results.py`.
    """
    read = read_results(results)
    shown = exhibits(read)
    page = report_page(read, shown)
    with aside(out / "figures") as draft:
        draft.mkdir()
        for exhibit in shown.values():
            (draft / f"{exhibit.key}.png").write_bytes(exhibit.image)
            (draft / f"{exhibit.key}.html").write_text(figure_page(exhibit), encoding="utf-8")

    def write(draft: Path) -> None:
        draft.write_text(page, encoding="utf-8")

    artifact = store("report", out / "report.html", write)
    log.info("report: %s (%.1f MB, %d figures)", artifact.uri, artifact.path.stat().st_size / 1e6, len(shown))
    return artifact


def templates() -> Environment:
    """Jinja over this folder, escaping everything; a name that the page does not know is an error."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip


def figure_page(exhibit: Exhibit) -> str:
    """One exhibit as a page of its own, for the MLflow artifact viewer."""
    return templates().get_template("figure.html").render(exhibit=exhibit, bundle=Markup(plotly_bundle()))


def report_page(results: Results, shown: dict[str, Exhibit]) -> str:
    """The whole report as one HTML text."""
    summary = results.summary
    headline = summary.headline
    answer = reading(headline.low, headline.high, headline.metric) if headline else "no interval"
    return templates().get_template("template.html").render(
        summary=summary,
        sentence=headline_sentence(results),
        support=support_sentence(results),
        tone=TONES.get(answer, "open"),
        half=half_of(results, headline.metric) if headline else None,
        simulated=results.simulated,
        glance=glance_grid(results),
        policies=policy_grid(results),
        estimates=estimate_grid(results),
        heldout=heldout_grids(results),
        seeds=seed_grid(results),
        paired={half: paired_grid(results, half) for half in ("simulated", "heldout")},
        exhibits=shown,
        facts=facts(summary),
        settings=settings(summary),
        reliability=reliability_grids(results),
        caveats=caveats(results),
        glossary=glossary(),
        level=f"{100 * summary.level:.0f} %",
        bundle=Markup(plotly_bundle()),
    )  # fmt: skip


def facts(summary: Summary) -> list[tuple[str, str]]:
    """What was run on what, as term and description."""
    counts = [f"{value:,} {COUNTS.get(key, key.replace('_', ' '))}" for key, value in summary.counts.items()]
    stages = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in summary.seconds.items())
    model = summary.model
    parts = (model.get("name"), f"version {model.get('version')}", f"alias {model.get('alias')}")
    propensities = [
        ("Propensities", f"{log}: {propensity_sentence(told)}") for log, told in summary.propensities.items()
    ]
    found = [
        ("Dataset", summary.dataset),
        ("Origin", summary.origin),
        ("Knowledge graph", summary.knowledge_graph),
        ("Corpus", summary.corpus),
        ("Protocol", summary.protocol_text),
        *propensities,
        ("Counts", " · ".join(counts)),
        ("Candidate recall", percent(summary.candidate_recall) if summary.candidate_recall is not None else None),
        ("Probability error", f"{summary.marginal_error:.2g}" if summary.marginal_error is not None else None),
        ("Seeds", ", ".join(map(str, summary.seeds))),
        ("Started", summary.started_at),
        ("Duration", f"{duration(sum(summary.seconds.values()))}: {stages}" if stages else None),
        ("Git commit", summary.git_commit),
        ("Registered model", ", ".join(map(str, parts)) if model.get("name") else None),
        ("Data licence", summary.licence),
    ]
    return [(term, text) for term, text in found if text]


def settings(summary: Summary) -> list[tuple[str, list[tuple[str, str]]]]:
    """Recipes, the constants of the world and library versions, flattened to key and value."""
    groups = [*summary.recipes.items(), ("world", summary.world), ("versions", summary.versions)]
    return [(title, list(flattened(values))) for title, values in groups if values]


def flattened(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted keys."""
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        found += flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", str(value))]
    return found


def glossary() -> list[tuple[str, str]]:
    """Each column in one line."""
    ways = {1: " Higher is better.", -1: " Lower is better.", 0: ""}
    metrics = [(title, text + ways[way]) for title, way, text in METRICS.values()]
    return [*COLUMNS.items(), *ESTIMATORS.values(), *metrics]


def report(results: Artifact, *, target: Path) -> Artifact:
    """The page of a results artifact, as a stored task makes it."""
    return render(results.path, target)

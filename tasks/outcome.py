"""The end of a run: one results folder that the report reads, and what of it goes onto the parent run."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from tasks import tracking as runs
from tasks.artifacts import Artifact, store
from tasks.contenders import CLICKS, RL, VALUE
from tasks.presets import Plan
from tasks.promote import Registered
from tasks.provenance import propensities_of, version_sentence
from tasks.publication import chosen
from tasks.report.results import read_results
from tasks.report.summaries import summary_markdown
from tasks.report.wording import headline_sentence
from tasks.warehouse import read_description

logger = logging.getLogger(__name__)

PROTOCOL = (
    "Per user in time order, 60 % of the positives are train, 20 % feedback, 10 % validation, 10 % test; "
    "users with fewer than ten positives are in train only. Stage A, graphs, candidates and the logging policy use "
    "train. "
    "A response model fitted on feedback alone answers the simulated slates; three independent logs serve learning, "
    "checkpoint choice and reported estimates. Held-out ranking is measured on test, with everything before it seen."
)


@dataclass(frozen=True)
class Told:
    """What a flow run says of its outcome."""

    headline: str
    markdown: str
    link: str | None
    image: str | None
    cached_from: str | None


def conclude(
    plan: Plan,
    corpus: Artifact,
    graphs: Artifact,
    simulated: Artifact,
    pretrained: Sequence[Artifact],
    evidence: Sequence[Artifact],
    policies: Sequence[Artifact],
    counterfactual: Artifact,
    heldout: Artifact,
    model: Registered,
    *,
    target: Path,
    tracking: str | None = None,
) -> Artifact:
    """Gather both halves, the training histories and the facts of the run into one results folder."""
    paired = pl.concat(
        [pl.read_parquet(half.path / "paired.parquet") for half in (counterfactual, heldout)], how="vertical_relaxed"
    )
    truth = pl.read_parquet(counterfactual.path / "truth.parquet")
    headline = strongest_comparison(truth, paired)
    seeds = plan.evaluation.seeds
    training = pl.concat(
        [
            history
            for stage, artifacts in (("pretrain", pretrained), ("finetune", policies))
            for seed, artifact in zip(seeds, artifacts, strict=True)
            for history in _histories(artifact, stage, seed)
        ]
    )
    recall = float((heldout.path / "candidate_recall.txt").read_text(encoding="utf-8"))
    facts = json.loads((simulated.path / "world.json").read_text(encoding="utf-8"))
    description = read_description(corpus.path)
    known = description["counts"]
    stages = {
        "ingest": [corpus], "graphs": [graphs], "simulate": [simulated], "pretrain": pretrained, "evidence": evidence,
        "finetune": policies, "counterfactual": [counterfactual], "heldout": [heldout],
    }  # fmt: skip
    summary: dict[str, Any] = {
        "dataset": description["title"],
        "origin": description["origin"],
        "knowledge_graph": knowledge_sentence(description),
        "licence": description["licence"],
        "protocol_text": PROTOCOL,
        "corpus": version_sentence(description, corpus.path.name, corpus.digest),
        "propensities": {
            "Simulated slates": propensities_of(simulated.path / "log_eval" / "logged_slates.parquet"),
            "The dataset's own slates": description.get("propensities"),
        },
        "counts": {
            **{name: known[name] for name in ("users", "items", "events", "positives")},
            **{name: known[f"events_{name}"] for name in ("train", "feedback", "validation", "test")},
            "quarantined": known["quarantined"],
            "triples": known["triples_genre"] + known["triples_knowledge"],
            "simulated contexts": facts["contexts"],
            **facts["slates"],
        },
        "seeds": list(seeds),
        "git_commit": runs.commit(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {name: round(sum(a.seconds or 0.0 for a in made), 1) for name, made in stages.items()},
        "world": plan.world.model_dump(),
        "recipes": {
            "pretraining": plan.pretraining.model_dump(),
            "feedback": plan.feedback.model_dump(),
            "fine_tuning": plan.fine_tuning.model_dump(),
        },
        "candidate_recall": recall,
        "marginal_error": facts["marginal_error"],
        "versions": runs.versions(),
        "commands": [f"rlrec run {plan.name}", "make ui"],
        "mlflow": {"uri": runs.uri(), "run_id": tracking, "experiment": runs.EXPERIMENT},
        "model": {"name": model.name, "version": model.version, "alias": model.alias, "seed": model.seed},
        "headline": headline,
        "level": plan.evaluation.level,
        "logging_policy": "logging",
        "caveats": caveats(paired, recall),
    }

    def write(draft: Path) -> int:
        draft.mkdir()
        shutil.copy(heldout.path / "heldout.parquet", draft)
        for name in ("truth", "estimates", "curve"):
            shutil.copy(counterfactual.path / f"{name}.parquet", draft)
        paired.write_parquet(draft / "paired.parquet")
        training.write_parquet(draft / "training.parquet")
        (draft / "summary.json").write_text(json.dumps(summary, indent=1, allow_nan=False), encoding="utf-8")
        read_results(draft)
        return len(seeds)

    return store("results", target, write)


def strongest_comparison(truth: pl.DataFrame, paired: pl.DataFrame) -> dict[str, Any]:
    """RL against the best closed-form baseline with RL's own information, by true value of the best slate."""
    rivals = truth.filter(
        pl.col("kind") == "greedy", pl.col("seed").is_null(), pl.col("fitted_on") == CLICKS,
        ~pl.col("policy").is_in([RL, "reward_model"]),
    )  # fmt: skip
    reference = rivals.sort("value", "policy", descending=[True, False])["policy"][0]
    row = paired.filter(pl.col("metric") == VALUE, pl.col("reference") == reference).row(0, named=True)
    beats = True if row["low"] > 0 else False if row["high"] < 0 else None
    return {key: row[key] for key in ("policy", "reference", "metric", "difference", "low", "high")} | {"beats": beats}


def caveats(paired: pl.DataFrame, recall: float) -> list[str]:
    """What a reader must know before believing the table, with this run's own numbers."""
    said = [
        f"Stage B re-ranks its candidates; {recall:.0%} of the held-out positives are among them, which caps its "
        "recall. The closed-form rows rank the whole catalogue.",
    ]
    for half, metric in (("simulated", VALUE), ("heldout", "ndcg@10")):
        rows = paired.filter(pl.col("half") == half, pl.col("metric") == metric, pl.col("reference") != "oracle")
        worse = rows.filter(pl.col("high") < 0).sort("difference")
        for row in worse.iter_rows(named=True):
            if row["reference"].endswith("_feedback") and half == "simulated":
                continue
            said.append(
                f"Stage B is below {row['reference']} in {metric} ({half} half): {row['difference']:+.4f} "
                f"[{row['low']:+.4f}, {row['high']:+.4f}]."
            )
        if half == "simulated":
            model = rows.filter(pl.col("reference") == "reward_model").row(0, named=True)
            said.append(
                f"Against the reward model ranked by itself, Stage B differs by {model['difference']:+.4f} "
                f"[{model['low']:+.4f}, {model['high']:+.4f}] clicks a slate: that is what RL adds to its own critic."
            )
    return said


def knowledge_sentence(description: Mapping[str, Any]) -> str:
    """Which knowledge graph was used, in words."""
    graph = description["knowledge_graph"]
    used = graph["used"]
    text = {True: "Freebase and genres", False: "genres only"}.get(used, str(used))
    return f"{text}; {graph.get('why') or graph.get('origin', '')}"


def publish(
    plan: Plan, results: Artifact, page: Artifact, model: Registered, lists: Artifact, tracking: str | None
) -> Told:
    """Summary metrics, tables, figures and tags on the parent run; the text for the flow run's own page."""
    found = read_results(results.path)
    summary = found.summary
    first = summary.mlflow.get("run_id")
    cached_from = first if first != tracking else None
    run = runs.Run(tracking)
    headline = summary.headline
    if headline is not None:
        run.metrics(
            [("headline/difference", headline.difference, 0)]
            + [(f"headline/{end}", v, 0) for end in ("low", "high") if (v := getattr(headline, end)) is not None]
        )
    truth = found.truth.filter(pl.col("seed").is_null())
    run.metrics([(f"truth/{r['kind']}/{r['policy']}", r["value"], 0) for r in truth.iter_rows(named=True)])
    held = found.heldout.filter(pl.col("seed").is_null())
    run.metrics([(f"heldout/{r['metric']}/{r['policy']}", r["value"], 0) for r in held.iter_rows(named=True)])
    run.metrics(list(chosen(found.curve)))
    run.params(plan.model_dump(mode="json"))
    run.tags(
        {
            "git_commit": runs.commit(), "results_digest": results.digest, "model": f"{model.name}/{model.version}",
            "recommendations": lists.uri, "report": page.uri, "seeds": list(plan.evaluation.seeds),
            **{f"version.{library}": number for library, number in runs.versions().items()},
            **({"cached_from": cached_from} if cached_from else {}),
        }
    )  # fmt: skip
    run.inputs({"results": results})
    run.files(results.path, "tables")
    run.files(page.path.parent, "report")
    run.files(lists.path, "recommendations")
    image = run.file_link("report/figures/weight_curve.png")
    return Told(headline_sentence(found), summary_markdown(found), run.link(), image, cached_from)


def _histories(artifact: Artifact, stage: str, seed: int) -> list[pl.DataFrame]:
    columns = ("stage", "seed", "step", "metric", "value")
    history = pl.read_parquet(artifact.path / "history.parquet").with_columns(
        stage=pl.lit(stage), seed=pl.lit(seed, dtype=pl.Int64)
    )
    chosen = pl.DataFrame(
        {
            "stage": [stage], "seed": [seed], "value": [1.0], "metric": ["select/chosen"],
            "step": [int((artifact.path / "chosen.txt").read_text(encoding="utf-8"))],
        }
    )  # fmt: skip
    return [history.select(columns), chosen.select(columns)]

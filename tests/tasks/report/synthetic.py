"""A synthetic results folder in the shape of a real one: seeded numbers that mean nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

POLICIES = {  # id: (label, fitted_on, true value, test NDCG@10)
    "logging": ("Logging policy (BPR-MF)", "train", 0.652, 0.071),
    "popular": ("Most popular", "train", 0.690, 0.058),
    "gfcf": ("GF-CF", "train", 0.781, 0.094),
    "ease": ("EASE", "train", 0.842, 0.102),
    "stage_a": ("Stage A (Graph-CL)", "train", 0.804, 0.096),
    "popular_clicks": ("Most popular", "train + clicks", 0.733, 0.059),
    "gfcf_clicks": ("GF-CF", "train + clicks", 0.961, 0.099),
    "ease_clicks": ("EASE", "train + clicks", 1.081, 0.106),
    "grpo": ("Stage B (GRPO)", "train + clicks", 1.128, 0.101),
    "gfcf_feedback": ("GF-CF", "train + feedback", 1.190, 0.113),
    "ease_feedback": ("EASE", "train + feedback", 1.342, 0.121),
}
TARGETS = ("popular", "ease", "ease_clicks", "stage_a", "grpo")
SEEDED = ("stage_a", "grpo")
METRICS = {  # name: scale against NDCG@10, spread
    "recall@10": 1.25, "precision@10": 0.62, "hr@10": 3.6, "ndcg@10": 1.0,
    "recall@20": 1.95, "precision@20": 0.49, "hr@20": 4.9, "ndcg@20": 1.22,
}  # fmt: skip
VERDICT = {"popular": "no_support", "ease": "caution", "ease_clicks": "caution"}
RULES = {
    "no_support": ["effective sample size 61 is below 100"],
    "caution": ["max_row_share 0.071 > 0.05", "mean weight 0.88 is off 1 by more than 0.1"],
    "trust": [],
}


def write_results(
    folder: Path, *, seeds: tuple[int, ...] = (0, 1, 2), dataset: str = "MovieLens-100K (synthetic)"
) -> Path:
    """Write the seven files of a results folder."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(7)
    (folder / "summary.json").write_text(json.dumps(summary(seeds, dataset), indent=1), encoding="utf-8")
    tables = {
        **{"heldout": heldout(noise, seeds), "paired": paired(noise), "truth": truth(noise, seeds)},
        **{"estimates": estimates(noise, seeds), "curve": curve(noise), "training": training(noise, seeds)},
    }
    for name, rows in tables.items():
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / f"{name}.parquet")
    return folder


def summary(seeds: tuple[int, ...], dataset: str) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "origin": "synthetic numbers, no data behind them",
        "knowledge_graph": "genre triples and 4 relations of a knowledge graph",
        "corpus": "Generation 3, view g00003-0d99c28a, SHA-256 5cba20f37e11. Filters: exact duplicates, k core "
        "(users 5, items 5). Splits: world. Positive from a value of 4.",
        "propensities": {
            "Simulated slates": {"rows": {"simulated": 94300}},
            "The dataset's own slates": {
                "rows": {"logged": 4000, "estimated": 15000, "missing": 1000},
                "model": "logistic", "learned_rows": 16000, "held_out": "latest",
                "fitted_until": "2024-03-01T12:00:00+00:00", "log_loss": 2.54, "log_loss_held_out": 2.61,
                "log_loss_frequency": 2.72, "calibration_error": 0.049,
                "reliability": [
                    {"low": 0.003, "high": 0.01, "choices": 1441, "shown": 9, "predicted": 0.0059, "observed": 0.0063},
                    {"low": 0.01, "high": 0.03, "choices": 7323, "shown": 117, "predicted": 0.017, "observed": 0.0157},
                    {"low": 0.3, "high": 0.5, "choices": 1149, "shown": 378, "predicted": 0.3283, "observed": 0.329},
                ],
            },
        },
        "protocol_text": "Per user in time order: 60 % train, 20 % feedback, 10 % validation, 10 % test.",
        "counts": {"users": 943, "items": 1682, "events": 100000, "positives": 55375, "train": 33000, "feedback": 11000,
                   "validation": 5500, "test": 5500, "quarantined": 0, "triples": 91631, "log_train": 18860,
                   "log_select": 4715, "log_eval": 9430},
        "seeds": list(seeds),
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "started_at": "2026-11-22T05:56:00+00:00",
        "seconds": {"ingest": 4.2, "graphs": 1.9, "pretrain": 41.0, "finetune": 96.4, "evaluate": 38.1, "report": 3.3},
        "world": {"response_slope": 1.5, "mean_click": 0.05, "candidates": 100, "positions": 10, "epsilon": 0.05},
        "recipes": {"pretraining": {"algorithm": "graph_cl", "width": 64, "epochs": 20},
                    "fine_tuning": {"algorithm": "grpo_slate", "group": 8, "beta": 0.04, "clip": 0.2}},
        "candidate_recall": 0.463,
        "marginal_error": 0.0011,
        "versions": {"python": "3.11.9", "torch": "2.13.0", "polars": "2.1.0", "prefect": "3.8.8"},
        "licence": "Synthetic numbers, free to use.",
        "commands": ["make run", "rlrec run ml-100k/grpo_slate --set seeds='[0, 1, 2]'"],
        "mlflow": {"uri": "sqlite:///mlflow.db", "run_id": "a1b2c3d4e5f6", "experiment": "ml-100k"},
        "prefect": {"flow_run_id": "5b0c1a2e-0000-4000-8000-000000000000"},
        "model": {"name": "ml-100k-slate", "version": 3, "alias": "champion"},
        "headline": {"policy": "grpo", "reference": "ease_clicks", "metric": "value", "difference": 0.047, "low": 0.012,
                     "high": 0.083, "beats": True},
        "caveats": ["The candidate set holds 100 items of 1,682: no policy can recommend outside it."],
    }  # fmt: skip


def runs_of(policy: str, seeds: tuple[int, ...]) -> tuple[int | None, ...]:
    return (*seeds, None) if policy in SEEDED else (None,)


def heldout(noise: np.random.Generator, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    rows = []
    for place, (policy, (label, fitted_on, _, ndcg)) in enumerate(POLICIES.items()):
        for seed in runs_of(policy, seeds):
            values = {name: ndcg * scale * noise.uniform(0.97, 1.03) for name, scale in METRICS.items()}
            half = {name: 0.08 * value for name, value in values.items()}
            values |= {"coverage@10": 0.05 + 0.03 * place, "gini@10": 0.97 - 0.02 * place,
                       "average_popularity@10": 190.0 - 9.5 * place * noise.uniform(0.8, 1.2),
                       "tail_share@10": 0.002 + 0.011 * place}  # fmt: skip
            for name, value in values.items():
                width = half.get(name)
                rows.append({"policy": policy, "label": label, "fitted_on": fitted_on, "seed": seed, "metric": name,
                             "value": value, "low": None if width is None else value - width,
                             "high": None if width is None else value + width, "users": 857})  # fmt: skip
    return rows


def paired(noise: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for reference, (_, _, value, ndcg) in POLICIES.items():
        for metric, half, difference, width in (
            ("value", "simulated", 1.128 - value, 0.035),
            ("ndcg@10", "heldout", 0.101 - ndcg, 0.007),
            ("recall@10", "heldout", 1.25 * (0.101 - ndcg), 0.009),
        ):
            if reference != "grpo":
                centre = difference + noise.normal(0, width / 20)
                rows.append({"policy": "grpo", "reference": reference, "metric": metric, "difference": centre,
                             "low": centre - width, "high": centre + width, "half": half})  # fmt: skip
    return rows


def truth(noise: np.random.Generator, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    rows = []
    for policy, (label, fitted_on, value, _) in POLICIES.items():
        for seed in runs_of(policy, seeds):
            for kind, factor in (("greedy", 1.0), ("stochastic", 0.93)):
                centre = value * factor * (1 if seed is None else noise.uniform(0.985, 1.015))
                rows.append({"policy": policy, "label": label, "fitted_on": fitted_on, "seed": seed, "kind": kind,
                             "value": centre, "low": centre - 0.012, "high": centre + 0.012})  # fmt: skip
    return rows


def estimates(noise: np.random.Generator, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    rows = []
    for policy in TARGETS:
        label, _, value, _ = POLICIES[policy]
        verdict = VERDICT.get(policy, "trust")
        ess = 61.0 if verdict == "no_support" else 1874.0
        for seed in seeds if policy in SEEDED else (None,):
            true_value = 0.93 * value
            for estimator, error in (("ips", 0.06), ("snips", 0.045), ("dr", 0.022)):
                error *= 3 if verdict == "no_support" else 1
                centre = true_value + noise.normal(0, error)
                rows.append({"target_policy": policy, "label": label, "seed": seed, "estimator": estimator,
                             "value": centre, "standard_error": error, "low": centre - 1.96 * error,
                             "high": centre + 1.96 * error, "level": 0.95, "method": "cluster bootstrap",
                             "validity": "asymptotic", "n": 9430, "n_clusters": 943, "true_value": true_value,
                             "ess": ess, "ess_share": ess / 9430,
                             "max_weight": 61.3, "mean_weight": 1.01 if verdict == "trust" else 0.88,
                             "verdict": verdict,
                             "failed_rules": RULES[verdict]})  # fmt: skip
    return rows


def curve(noise: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    grid = [0.0, *np.geomspace(0.05, 61.3, 40).tolist(), float("inf")]
    for policy in ("grpo", "ease_clicks"):
        label, _, value, _ = POLICIES[policy]
        for base in ("ips", "dr"):
            scale = 1.0 if base == "ips" else 0.35
            for limit in grid:
                kept = 1.0 if limit == float("inf") else limit / (limit + 1.2)
                bias, se = -scale * value * (1 - kept), scale * (0.002 + 0.055 * kept**3)
                bound = 1.8 * scale * (1 - kept) + 0.05
                rows.append({"target_policy": policy, "label": label, "base": base, "family": "clip", "lambda": limit,
                             "value": value + bias, "se": se, "variance": se**2, "bias_plugin": bias * 0.95,
                             "bias_bound": bound, "mse_plugin": se**2 + bias**2, "mse_bound": se**2 + bound**2,
                             "ess": 9000 - 7000 * kept, "clipped_share": 1 - kept, "mass_missing": 1 - kept,
                             "ci_low": value + bias - 1.96 * se, "ci_high": value + bias + 1.96 * se,
                             "true_bias": bias, "true_mse": se**2 + bias**2,
                             "selected_mse_bound": limit == grid[35], "selected_slope": limit == grid[30],
                             "selected_slope_plus_plus": limit == grid[25]})  # fmt: skip
    return rows


def training(noise: np.random.Generator, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def note(stage: str, seed: int, step: int, metric: str, value: float) -> None:
        rows.append({"stage": stage, "seed": seed, "step": step, "metric": metric, "value": float(value)})

    for seed in seeds:
        for step in range(0, 800, 10):
            note("pretrain", seed, step, "train/loss", 0.69 * np.exp(-step / 200) + 0.22 + noise.normal(0, 0.01))
        for step in range(0, 400, 5):
            rise = 1 - np.exp(-step / 120)
            note("finetune", seed, step, "reward/mean", 0.62 + 0.4 * rise + noise.normal(0, 0.02))
            note("finetune", seed, step, "policy/kl_reference", 0.9 * rise + abs(noise.normal(0, 0.02)))
            note("finetune", seed, step, "policy/entropy", 32 - 5 * rise + noise.normal(0, 0.1))
            note("finetune", seed, step, "group/degenerate_share", 0.02 + 0.05 * rise + abs(noise.normal(0, 0.005)))
            note("finetune", seed, step, "policy/clip_share", 0.11 * rise + abs(noise.normal(0, 0.008)))
            if step % 50 == 0:
                value = 0.7 + 0.33 * rise - 0.0007 * max(0, step - 250) + noise.normal(0, 0.012)
                note("finetune", seed, step, "select/dr_value", value)
                note("finetune", seed, step, "select/dr_low", value - 0.04)
        note("finetune", seed, 250 + 50 * (seed % 2), "select/chosen", 1.0)
    return rows

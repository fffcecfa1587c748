"""Wording: what the report calls things, how it writes numbers, and the sentences that it draws from the results."""

from collections.abc import Iterable

import polars as pl

from tasks.report.glossary import ALIASES, ESTIMATORS, FAMILIES, HIGHER, METRICS, NEITHER, RULES, VERDICTS
from tasks.report.results import SAME_INFORMATION, Results

MINUS, ABSENT = "−", "–"
TINY = 0.0001  # below it, decimals give way to an exponent


def family(metric: str) -> str:
    """The metric without its cut-off, under its usual name: `hit_ratio@10` is `hr`."""
    stem = metric.partition("@")[0].lower()
    return ALIASES.get(stem, stem)


def metric_title(metric: str) -> str:
    """The metric as a column title; an unknown name is shown as it is."""
    cut = metric.partition("@")[2]
    title = METRICS[family(metric)][0] if family(metric) in METRICS else metric.partition("@")[0]
    return f"{title}@{cut}" if cut else title


def direction(metric: str) -> int:
    """1 where higher is better, -1 where lower is, 0 where neither or unknown."""
    return METRICS[family(metric)][1] if family(metric) in METRICS else NEITHER


def ordered_metrics(metrics: Iterable[str]) -> list[str]:
    """Metrics by cut-off, then in the order of `METRICS`, then unknown ones by name."""
    places = {name: place for place, name in enumerate(METRICS)}

    def key(metric: str) -> tuple[int, int, str]:
        cut = metric.partition("@")[2]
        return (int(cut) if cut.isdigit() else 0, places.get(family(metric), len(places)), metric)

    return sorted(set(metrics), key=key)


def estimator_title(estimator: str) -> str:
    """The estimator as a column title."""
    return ESTIMATORS[estimator][0] if estimator in ESTIMATORS else estimator.upper()


def family_title(family: str) -> str:
    """A family of weight transforms with its formula; an unknown one is shown as it is."""
    return ": ".join(FAMILIES.get(family, (family,)))


def rule_text(rule: str) -> str:
    """A failed rule in words: its name, wherever it stands in front, is spelled out."""
    name, gap, rest = rule.partition(" ")
    stem = name.rstrip(":")
    return RULES.get(stem, stem if gap else stem.replace("_", " ")) + name[len(stem) :] + gap + rest


def number(value: float | None, *, signed: bool = False) -> str:
    """Three decimals, fewer if large, three digits below 0.01, and a real minus sign; an en dash for none."""
    if value is None:
        return ABSENT
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 10 else 3 if size == 0 or size >= 0.01 else 5 if size >= 0.001 else 6
    text = f"{size:,.{digits}f}" if size == 0 or size >= TINY else f"{size:.0e}"
    sign = MINUS if value < 0 else "+" if signed and value > 0 else ""
    return sign + text


def whole(count: float | None) -> str:
    """A count, rounded to whole ones."""
    return ABSENT if count is None else f"{count:,.0f}"


def interval(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """`0.012 to 0.083`; empty where an end is unknown."""
    if low is None or high is None:
        return ""
    return f"{number(low, signed=signed)} to {number(high, signed=signed)}"


def percent(share: float | None) -> str:
    """A share in percent."""
    if share is None:
        return ABSENT
    return f"{100 * share:.{0 if share == 0 or share >= 0.1 else 1}f} %"


def duration(seconds: float) -> str:
    """`3.3 s`, `1 min 36 s` or `2 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def reading(low: float | None, high: float | None, metric: str) -> str:
    """What an interval of a difference says: `better`, `worse` or `not shown` (it holds zero)."""
    if low is None or high is None:
        return "no interval"
    if low <= 0 <= high:
        return "not shown"
    raised = low > 0
    if direction(metric) == NEITHER:
        return "higher" if raised else "lower"
    return "better" if raised == (direction(metric) == HIGHER) else "worse"


def half_of(results: Results, metric: str) -> str:
    """Which half a metric belongs to: `heldout` when that table holds it, `simulated` otherwise."""
    return "heldout" if metric in results.heldout["metric"] else "simulated"


HELDOUT_METRIC = "ndcg@10"
WHERE = {"heldout": "On held-out interactions", "simulated": "In simulated feedback"}


def headline_sentence(results: Results) -> str:
    """The answer in one plain sentence, worded from the interval."""
    headline = results.summary.headline
    if headline is None:
        return "No verdict: this run compared no policy with a reference."
    policy, reference = results.name(headline.policy), results.name(headline.reference)
    what, where = metric_title(headline.metric), WHERE[half_of(results, headline.metric)]
    what = what if "@" in what else what[0].lower() + what[1:]
    level = f"{100 * results.summary.level:.0f} % interval {interval(headline.low, headline.high, signed=True)}"
    size, change = number(abs(headline.difference)), number(headline.difference, signed=True)
    answer = reading(headline.low, headline.high, headline.metric)
    if answer == "no interval":
        return f"No verdict: {policy} differs from {reference} by {change} in {what}, but without an interval."
    if answer == "not shown":
        return f"{where}, {policy} is not shown to beat {reference}: {change} {what} ({level}, which includes zero)."
    if answer in ("better", "higher"):
        return f"{where}, {policy} beats {reference} by {size} {what} ({level})."
    return f"{where}, {policy} does not beat {reference}: it is worse by {size} {what} ({level})."


def support_sentence(results: Results) -> str:
    """Whether the logs alone would have supported a decision on the headline policy; empty without estimates."""
    headline = results.summary.headline
    verdict = worst_verdicts(results).get(headline.policy) if headline else None
    if headline is None or verdict is None:
        return ""
    rows = results.estimates.filter(pl.col("target_policy") == headline.policy)
    rules = "; ".join(dict.fromkeys(map(rule_text, rows["failed_rules"].explode().drop_nulls())))
    reason = f" ({rules})" if rules else ""
    return f"Off-policy verdict on {results.name(headline.policy)}, from the logs alone: {VERDICTS[verdict]}{reason}."


def main_comparisons(results: Results) -> pl.DataFrame:
    """The headline policy against what runs today and the headline's reference; in the held-out half against the
    strongest policy with the same information there, which may be another one."""
    headline = results.summary.headline
    if headline is None:
        return results.paired.clear()
    wanted = [
        headline.metric,
        *(m for m in results.paired["metric"].unique() if family(m) in ("value",) or m == HELDOUT_METRIC),
    ]
    order = [headline.reference, results.summary.logging_policy]
    heldout = pl.col("half") == "heldout"
    rival = strongest_heldout(results) or headline.reference
    return results.paired.filter(
        (pl.col("policy") == headline.policy)
        & pl.col("metric").is_in(wanted)
        & pl.when(heldout & (pl.col("metric") == HELDOUT_METRIC))
        .then(pl.col("reference").is_in([rival, results.summary.logging_policy]))
        .otherwise(pl.col("reference").is_in(order))
    ).sort(heldout, pl.col("reference") != headline.reference, "metric")


def strongest_heldout(results: Results) -> str | None:
    """The best policy by `HELDOUT_METRIC` that the headline policy was compared with and that knows the same."""
    headline = results.summary.headline
    if headline is None:
        return None
    compared = results.paired.filter(pl.col("policy") == headline.policy, pl.col("metric") == HELDOUT_METRIC)
    rows = results.heldout.filter(
        pl.col("metric") == HELDOUT_METRIC,
        pl.col("fitted_on") == SAME_INFORMATION,
        pl.col("policy").is_in(compared["reference"].to_list()),
    )
    return None if rows.is_empty() else str(rows.sort("value")["policy"][-1])


def caveats(results: Results) -> list[str]:
    """The caveats of the run, and those that follow from its numbers."""
    summary, found = results.summary, list(results.summary.caveats)
    if results.simulated:
        found.append(
            "The clicks in the counterfactual half are simulated: a model drew them. "
            "They test the method against a known truth and do not predict live traffic."
        )
    if len(summary.seeds) < 3:
        found.append(f"Trained with {len(summary.seeds)} seed(s): the spread over training runs is not measured well.")
    for policy, verdict in worst_verdicts(results).items():
        if verdict == "no_support":
            found.append(
                f"The log cannot tell the value of {results.name(policy)}: do not read its estimates as a result."
            )
    if summary.candidate_recall is not None:
        share = percent(summary.candidate_recall)
        found.append(
            f"{share} of held-out positives are among the candidates: this caps every policy that ranks only those."
        )
    if summary.marginal_error is not None:
        found.append(
            "Position probabilities are averages over samples; "
            f"their largest standard error is {summary.marginal_error:.2g}."
        )
    return found + harder_references(results)


def harder_references(results: Results) -> list[str]:
    """Baselines with the same information that the headline passes over although they were harder to beat."""
    headline = results.summary.headline
    if headline is None:
        return []
    sign = direction(headline.metric) or HIGHER
    rivals = results.paired.filter(
        (pl.col("policy") == headline.policy)
        & (pl.col("metric") == headline.metric)
        & (pl.col("half") == half_of(results, headline.metric))
        & (pl.col("difference") * sign < headline.difference * sign)
        & (pl.col("reference") != headline.reference)
    )
    return [
        f"{results.name(reference)} has the same information and is harder to beat: {number(difference, signed=True)} "
        f"({interval(low, high, signed=True)})."
        for reference, difference, low, high in rivals.select("reference", "difference", "low", "high").rows()
        if results.described.get(reference, ("", None))[1] == SAME_INFORMATION
    ]


def worst_verdicts(results: Results) -> dict[str, str]:
    """The worst verdict over a policy's estimates, by policy."""
    worst: dict[str, str] = {}
    severity = {"no_support": 0, "caution": 1, "trust": 2}
    for policy, verdict in results.estimates.select("target_policy", "verdict").rows():
        worst[policy] = min(worst.get(policy, verdict), verdict, key=severity.__getitem__)
    return worst

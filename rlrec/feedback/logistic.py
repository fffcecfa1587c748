"""The logging policy as a logistic regression on what it could see: a correction of how often it shows each item.

    P(i | x, choice) = f(i) exp(w(g(i), x)) / Σ over the choice of f(j) exp(w(g(j), x))

f are the smoothed counts of `frequencies` (policy and position), x the context, g(i) the item's group: each of the most
shown items is a group of its own, the others share groups with those of like popularity. w is additive in the levels of
the context, so that w = 0 is the frequency model exactly, and every choice sums to 1 whatever w is.

Source: McFadden 1974, conditional logit; the slope on w is the calibration slope of Cox 1958, learned from users that
neither taught w nor are scored by it.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated, Literal

import numpy as np
import polars as pl
from jaxtyping import Float
from pydantic import Field
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp

from rlrec.feedback.frequencies import CELL, FOLD, Frequency, own_counts, shown_counts

SITUATION = (*FOLD, "context")
LEVELS = {"period": 8, "hour": 8, "weekday": 7, "activity": 8}
HOURS = 3  # a level of the hour is a part of the day
STEEPEST = 2.0  # bound of the slope: the correction may be shrunk away, but at most doubled
MOST_STEPS = 50
Array = np.ndarray

Feature = Literal["period", "hour", "weekday", "activity"]


class Logistic(Frequency):
    """The frequency model, corrected for what the policy could see of the request and of the user."""

    model: Literal["logistic"] = "logistic"  # pyright: ignore[reportIncompatibleVariableOverride] - the union's tag
    folds: Annotated[int, Field(ge=3)] = 5
    """Users fall into as many parts, by their id; of the parts that do not score a user, one sets the slope."""
    features: tuple[Feature, ...] = ("period", "hour", "weekday", "activity")
    """Eighth of the time that is learned from (what is later is in the last: policies drift), hour of the day (UTC, by
    threes), day of the week, how often the user was shown anything (by powers of two)."""
    heads: Annotated[int, Field(ge=1)] = 64
    """Most shown items that have a correction of their own."""
    bins: Annotated[int, Field(ge=1)] = 8
    """Groups of the other items, by popularity, of equal weight in the log."""
    l2: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0
    """Pull of the corrections towards 0, as the precision of a normal prior."""
    rows: Annotated[int, Field(ge=1)] = 20_000
    """Most decisions with candidates, and most different situations without, that w is learned from."""

    @property
    def groups(self) -> int:
        """How many groups of items there are; the last one has the items that were never shown."""
        return self.heads + self.bins


def activity(learned: pl.LazyFrame) -> pl.LazyFrame:
    """How many shown items of each user are learned from, as a level: 0, 1 to 2, 3 to 6, and so on."""
    level = (pl.len() + 1).log(2).floor().clip(upper_bound=LEVELS["activity"] - 1)
    return learned.group_by("user").agg(activity=level.cast(pl.Int32))


def situated(slates: pl.LazyFrame, learned: pl.LazyFrame, recipe: Frequency) -> pl.LazyFrame:
    """The slates with `fold`, and `context`: the levels of the features as one number."""
    slates = slates.with_columns(fold=pl.col("user") % recipe.folds)
    if not isinstance(recipe, Logistic):
        return slates.with_columns(context=pl.lit(0, pl.Int32))
    start, end = learned.select(first=pl.col("at").min(), last=pl.col("at").max()).collect().row(0)
    length = max((end - start) / LEVELS["period"], timedelta(microseconds=1)) if end else timedelta(1)
    period = (pl.col("at") - start).dt.total_microseconds() // int(length / timedelta(microseconds=1))
    level = {
        "period": period.clip(0, LEVELS["period"] - 1).cast(pl.Int32),
        "hour": pl.col("at").dt.hour().cast(pl.Int32) // HOURS,
        "weekday": pl.col("at").dt.weekday().cast(pl.Int32) - 1,
        "activity": pl.col("activity").fill_null(0),
    }
    context = pl.lit(0, pl.Int32)
    for feature in recipe.features:
        context = context * LEVELS[feature] + level[feature]
    return slates.join(activity(learned), on="user", how="left").with_columns(context=context).drop("activity")


def one_hot(context: Array, features: Sequence[Feature]) -> Float[Array, "R L"]:
    """A row a context: 1 at the level of each feature."""
    columns = []
    for feature in reversed(features):
        columns.append(np.eye(LEVELS[feature])[context % LEVELS[feature]])
        context = context // LEVELS[feature]
    return np.hstack(columns[::-1]) if columns else np.zeros((len(context), 0))


def grouped(learned: pl.LazyFrame, recipe: Logistic) -> pl.DataFrame:
    """The group of every item that was shown, for each fold by the counts of the others."""
    popular = shown_counts(learned, recipe.folds).group_by("fold", "item").agg(pl.col("shown").sum()).collect()
    tail = pl.when(pl.col("rank") >= recipe.heads).then("shown").otherwise(0)
    share = (tail.cum_sum() / tail.sum()).over("fold")
    place = (recipe.bins * share).floor().fill_nan(0).clip(upper_bound=recipe.bins - 1)
    return (
        popular.sort("fold", "shown", "item", descending=[False, True, False])
        .with_columns(rank=pl.int_range(pl.len()).over("fold"))
        .select(
            "fold",
            "item",
            group=pl.when(pl.col("shown") == 0).then(recipe.groups - 1)
            .when(pl.col("rank") < recipe.heads).then("rank")
            .otherwise(recipe.heads + place)
            .cast(pl.Int32),
        )
    )  # fmt: skip


def sizes(groups: pl.DataFrame, recipe: Logistic, items: int) -> Float[Array, "K G"]:
    """How many items of the catalogue each group has, for each fold."""
    number = summed(groups.group_by("fold", "group").len(), "fold", "len", (recipe.folds, recipe.groups))
    number[:, -1] += items - number.sum(axis=1)
    return number


def corrections(
    learned: pl.LazyFrame, recipe: Logistic, groups: pl.DataFrame, items: int, candidates: pl.LazyFrame | None
) -> pl.DataFrame:
    """exp(w) for each fold, context and group: `lift`, learned from the users of the other folds."""
    rows = situated(learned, learned, recipe).with_columns(listed=pl.col("candidates_id").is_not_null())
    models = groups.lazy().rename({"fold": "model"})
    tallies = (
        rows.join(models, on="item")
        .filter(pl.col("model") != pl.col("fold"))
        .group_by("model", *SITUATION, "listed", "group")
        .agg(count=pl.len().cast(pl.Float64))
        .collect(engine="streaming")
    )
    offers = None if candidates is None else offered(rows, recipe, models, learned, candidates)
    number = sizes(groups, recipe, items)
    contexts = np.arange(np.prod([LEVELS[feature] for feature in recipe.features], dtype=int))
    levels = one_hot(contexts, recipe.features)
    found = []
    for model in range(recipe.folds):
        designs = [from_catalogue(tallies.filter(pl.col("model") == model), recipe, number[model])]
        if offers is not None:
            designs.append(from_candidates(offers.filter(pl.col("model") == model), recipe.groups))
        fold, context, mass, shown = (np.concatenate(parts) for parts in zip(*designs, strict=True))
        lift = np.exp(levels @ weights(fold == (model + 1) % recipe.folds, context, mass, shown, recipe))
        found.append(
            pl.DataFrame(
                {
                    "fold": np.full(lift.size, model, dtype=np.int32),
                    "context": np.repeat(contexts, recipe.groups).astype(np.int32),
                    "group": np.tile(np.arange(recipe.groups, dtype=np.int32), len(contexts)),
                    "lift": lift.ravel(),
                }
            )
        )
    return pl.concat(found)


def from_catalogue(
    tallies: pl.DataFrame, recipe: Logistic, number: Float[Array, "G"]
) -> tuple[Array, Array, Float[Array, "R G"], Float[Array, "R G"]]:
    """Situations in which all the catalogue was open: fold, context, f of each group, how often each was shown.

    f counts neither the users who are scored nor those of the row's own fold.
    """
    folds = tallies.select(FOLD).unique().sort(FOLD).with_row_index("place")
    cells = folds.select(CELL).unique().sort(CELL).with_row_index("cell")
    folds = folds.join(cells, on=CELL, maintain_order="left")
    tallies = tallies.join(folds, on=FOLD).sort("place", "context", "group")
    own = summed(tallies, "place", "count", (len(folds), len(number)))
    whole = summed(tallies, "cell", "count", (len(cells), len(number)))
    mass = whole[folds["cell"].to_numpy()] - own + recipe.smoothing * number
    some = tallies.filter(~pl.col("listed"))
    kept = (
        some.group_by("place", "fold", "context")
        .agg(pl.col("count").sum())
        .sort("count", "place", "context", descending=[True, False, False])
        .head(recipe.rows)  # chosen by the context, never by what was shown
        .with_row_index("row")
    )
    some = some.join(kept.select("row", "place", "context"), on=["place", "context"])
    shown = summed(some, "row", "count", (len(kept), len(number)))
    return kept["fold"].to_numpy(), kept["context"].to_numpy(), mass[kept["place"].to_numpy()], shown


def offered(
    rows: pl.LazyFrame, recipe: Logistic, models: pl.LazyFrame, learned: pl.LazyFrame, candidates: pl.LazyFrame
) -> pl.DataFrame:
    """Decisions among candidates, a sample: for each scored fold, f of each group and which one was shown."""
    listed = rows.filter("listed").select("event", *SITUATION, "candidates_id", own_item="item")
    every = max(1, -(-listed.select(pl.len()).collect().item() // recipe.rows))
    sample = listed.filter(pl.col("event").hash(0) % every == 0)
    own = own_counts(learned, recipe.folds)
    whole = own.group_by(*CELL, "item").agg(whole=pl.col("own").sum())
    folds = pl.LazyFrame({"model": range(recipe.folds)}, schema={"model": pl.Int32})
    scored = own.rename({"fold": "model", "own": "theirs"})
    count = pl.col("whole").fill_null(0) - pl.col("own").fill_null(0) - pl.col("theirs").fill_null(0)
    return (
        sample.join(candidates.select("candidates_id", "item").unique(), on="candidates_id")
        .join(folds, how="cross")
        .filter(pl.col("model") != pl.col("fold"))
        .join(models, on=["model", "item"], how="left")
        .join(whole, on=[*CELL, "item"], how="left")
        .join(own, on=[*FOLD, "item"], how="left")
        .join(scored, on=[*CELL, "model", "item"], how="left")
        .group_by("model", "event", "fold", "context", pl.col("group").fill_null(recipe.groups - 1))
        .agg(
            mass=(count + recipe.smoothing).sum(),
            shown=(pl.col("item") == pl.col("own_item")).any().cast(pl.Float64),
        )
        .collect(engine="streaming")
    )


def from_candidates(offers: pl.DataFrame, groups: int) -> tuple[Array, Array, Float[Array, "R G"], Float[Array, "R G"]]:
    """Decisions among candidates as arrays; what was shown without being a candidate teaches nothing."""
    chosen = offers.filter(pl.col("shown").any().over("event"))
    rows = chosen.select("event", "fold", "context").unique().sort("event").with_row_index("row")
    chosen = chosen.join(rows.select("row", "event"), on="event")
    mass, shown = (summed(chosen, "row", name, (len(rows), groups)) for name in ("mass", "shown"))
    return rows["fold"].to_numpy(), rows["context"].to_numpy(), mass, shown


def summed(frame: pl.DataFrame, row: str, value: str, shape: tuple[int, int]) -> Float[Array, "R G"]:
    """The sum of a value for each row and group."""
    found = np.zeros(shape)
    np.add.at(found, (frame[row].to_numpy(), frame["group"].to_numpy()), frame[value].to_numpy())
    return found


def weights(
    aside: Array, context: Array, mass: Float[Array, "R G"], shown: Float[Array, "R G"], recipe: Logistic
) -> Float[Array, "L G"]:
    """w [L, G]: learned from the rows that are not `aside`, then shrunk or stretched to fit those that are."""
    there = mass.any(axis=0)
    with np.errstate(divide="ignore"):
        offset = np.log(mass[:, there])  # a group that is not in the choice has -inf and stays at probability 0
    levels, shown = one_hot(context, recipe.features), shown[:, there]
    shape = (levels.shape[1], shown.shape[1])
    total = shown.sum(axis=1, keepdims=True)

    def likelihood(rows: Array) -> Callable[[Array], tuple[float, Array]]:
        inside, x, y, n = offset[rows], levels[rows], shown[rows], total[rows]
        seen = x.T @ y

        def surprise(w: Array) -> tuple[float, Array]:
            """-Σ n log P, up to what w does not change, and its slope."""
            logits = inside + x @ w
            normaliser = logsumexp(logits, axis=1, keepdims=True)
            slope = x.T @ (n * np.exp(logits - normaliser)) - seen
            return float((n * normaliser).sum() - (seen * w).sum()), slope

        return surprise

    learned, judged = likelihood(~aside), likelihood(aside)

    def loss(flat: Array) -> tuple[float, Array]:
        value, slope = learned(flat.reshape(shape))
        return value + recipe.l2 / 2 * float(flat @ flat), slope.ravel() + recipe.l2 * flat

    found = minimize(loss, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B", options={"maxiter": MOST_STEPS})
    w = found.x.reshape(shape)
    best = minimize_scalar(lambda slope: judged(slope * w)[0], bounds=(0.0, STEEPEST), method="bounded")
    whole = np.zeros((len(w), mass.shape[1]))
    whole[:, there] = best.x * w
    return whole

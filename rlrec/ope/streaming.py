"""Stats from a stream of Arrow record batches: a log that also holds the target's columns, read once, kept nowhere."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from rlrec.errors import InputError
from rlrec.ope.codes import SAMPLING
from rlrec.ope.rounds import LARGEST, SMALLEST
from rlrec.ope.statistics import LOW_BITS, NOTHING_PREDICTED, SHARDS, Stats, shard_of, tally, widened
from rlrec.ope.transforms import Transform

Array = np.ndarray

COLUMNS = ("request", "user", "position", "reward", "propensity", "target_probability")
PREDICTIONS = ("q_hat", "q_hat_target")


def stats_of_batches(batches: Iterable[Any], positions: Sequence[int], transforms: Sequence[Transform] = ()) -> Stats:
    """The sums of all batches, in the memory of one batch and one Stats; `positions` are those that may occur.

    `transforms` are those to be asked about besides the clip curve and the switch curve.

    A batch is a `pyarrow.RecordBatch` or anything else that polars takes over without copying. Rows come in the order
    of their requests. With both predictions present, DM, DR and SNDR have values.

    Raises:
        InputError: columns are missing, rows are out of order or were sampled, or a value is out of range; with the
            number of rows.
    """
    places = np.array(sorted(positions))
    total = Stats.empty(len(places), transforms)
    requests, largest, has_model, predicted = total.requests, 0.0, True, NOTHING_PREDICTED
    last: Any = None
    above: list[int] = []  # positions of the last request
    estimated = 0
    for given in batches:
        batch = pl.DataFrame(given)
        if missing := [name for name in COLUMNS if name not in batch.columns]:
            raise InputError("a batch lacks columns", column=", ".join(missing), remedy=f"give {', '.join(COLUMNS)}")
        if sampled := [name for name in SAMPLING if name in batch.columns]:
            raise InputError(
                "OPE015 sums know no rows that were sampled",
                column=", ".join(sampled),
                rows=len(batch),
                remedy="use Rounds, or hand over the log with all of its rows",
            )
        if batch.is_empty():
            continue
        has_model = has_model and all(name in batch.columns for name in PREDICTIONS)
        numbers = {name: checked(batch, name) for name in COLUMNS[3:] + (PREDICTIONS if has_model else ())}
        refuse_repeated(batch, last, above)
        if "propensity_source" in batch.columns:
            estimated += int((batch["propensity_source"] == "estimated").sum())
        request, position = batch["request"], batch["position"].to_numpy()
        before = request.shift(1, fill_value=request[0] if last is None else last)
        if disordered := int((request < before).sum()):
            raise InputError(
                "requests do not rise", column="request", rows=disordered, remedy="sort the log by request"
            )
        place = np.searchsorted(places, position)
        known = places[np.minimum(place, len(places) - 1)] == position
        if not known.all():
            strangers = int(np.count_nonzero(~known))
            raise InputError("OPE004 unknown positions", column="position", rows=strangers, remedy="name them all")
        shard = shard_of(numbered(batch["user"]))
        first = (request != before).to_numpy().copy()
        first[0] |= last is None
        requests += np.bincount(shard[first], minlength=SHARDS)
        above = (above if request[-1] == last else []) + batch.filter(request == request[-1])["position"].to_list()
        last = request[-1]
        weight = numbers["target_probability"] / numbers["propensity"]
        nothing = np.zeros(len(batch))
        direct, prediction = numbers.get("q_hat_target", nothing), numbers.get("q_hat", nothing)
        tally(total, shard, place, weight, numbers["reward"], direct, prediction)
        largest = max(largest, float(weight.max()))
        predicted = widened(predicted, (float(prediction.min()), float(prediction.max())))
    predicted = predicted if has_model else NOTHING_PREDICTED
    return replace(total, max_weight=largest, has_model=has_model, predicted=predicted, estimated_rows=estimated)


def refuse_repeated(batch: pl.DataFrame, last: Any, above: list[int]) -> None:
    """Refuse rows without a request, a position that a request has had, and probabilities of lists.

    Raises:
        InputError: with the number of rows.
    """
    if missing := batch["request"].null_count():
        raise InputError("OPE002 request is empty", column="request", rows=missing, remedy="fill request")
    repeated = pl.struct("request", "position").is_duplicated()
    again = repeated | ((pl.col("request") == last) & pl.col("position").is_in(above)) if above else repeated
    if wrong := int(batch.select(again.sum()).item()):
        raise InputError(
            "OPE004 position is repeated within a request",
            column="position",
            rows=wrong,
            remedy="one row per request and position",
        )
    if "propensity_kind" in batch.columns and (
        of_lists := int(batch["propensity_kind"].is_in(["slate", "cascade"]).sum())
    ):
        raise InputError(
            "OPE009 propensity_kind is not item_position, which sums by position read",
            column="propensity_kind",
            rows=of_lists,
            remedy="use Rounds, which know lists",
        )


def checked(batch: pl.DataFrame, name: str) -> Float64[Array, "N"]:
    """A column as float64, within its range."""
    ranges = {"propensity": (SMALLEST, 1.0, "OPE007"), "target_probability": (0.0, 1.0, "OPE022")}
    low, high, code = ranges.get(name, (-LARGEST, LARGEST, "OPE006" if name == "reward" else "OPE024"))
    values = batch[name].cast(pl.Float64).to_numpy()
    wrong = int(np.count_nonzero(~((values >= low) & (values <= high))))
    if wrong:
        raise InputError(
            f"{code} {name} is empty or out of range", column=name, rows=wrong, remedy=f"give {name} for every row"
        )
    return values


def numbered(users: pl.Series) -> Int64[Array, "N"]:
    """Users as numbers: integers of up to 64 bits are themselves, all else is hashed as `sql/ope/shown.sql` hashes it.

    Raises:
        InputError: a user is missing.
    """
    if missing := users.null_count():
        raise InputError("OPE002 user is empty", column="user", rows=missing, remedy="fill user")
    if users.dtype.is_integer() and not (users.dtype == pl.UInt64 or users.dtype == pl.Int128):
        return users.cast(pl.Int64).to_numpy()
    users = users.cast(pl.String)
    names: list[str] = users.unique().sort().to_list()
    digests = (hashlib.md5(name.encode(), usedforsecurity=False).digest() for name in names)
    numbers = [int.from_bytes(digest[8:], "little") % LOW_BITS for digest in digests]
    return np.array(numbers, dtype=np.int64)[users.rank("dense").to_numpy().astype(np.int64) - 1]

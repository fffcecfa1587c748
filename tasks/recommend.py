"""Top-N lists of a registered policy, user by user in partitions, as RECOMMENDATIONS."""

import logging
from pathlib import Path

import pandas as pd
import polars as pl

from rlrec.corpus import Corpus
from rlrec.errors import InputError
from rlrec.tables import RECOMMENDATIONS, check
from tasks.artifacts import Artifact, aside, store
from tasks.promote import Registered, find_version, load
from tasks.tracking import child

logger = logging.getLogger(__name__)

PARTITION = 4_096


def recommend_all(
    corpus: Artifact, model: Registered, k: int, *, target: Path, tracking: str | None = None
) -> Artifact:
    """Lists of length `k` for every user of the corpus."""
    users = list(Corpus.of(corpus.path).vocabulary("user").external[1:])
    with child(tracking, "recommend") as run:

        def write(draft: Path) -> int:
            return write_lists(model.uri, model.version, users, k, draft)

        made = store("recommendations", target.with_suffix(".parquet"), write)
        run.metrics([("recommend/rows", float(made.rows or 0), 0)])
        logger.info("recommendations for %s users: %s", f"{len(users):,}", made.uri)
        return made


def write_lists(uri: str, version: str, users: list[str], k: int, draft: Path) -> int:
    """Score users partition by partition and write one Parquet file; returns the number of rows.

    Raises:
        InputError: a user is unknown to the policy, or k is larger than its candidate sets.
    """
    model = load(uri)
    parts: list[pl.DataFrame] = []
    for start in range(0, len(users), PARTITION):
        batch = pd.DataFrame({"user": users[start : start + PARTITION]})
        try:
            ranked = model.predict(batch, params={"k": k})
        except ValueError as fault:
            raise InputError(
                str(fault), column="user", remedy="recommend for users of the training log only"
            ) from fault
        parts.append(
            pl.DataFrame({name: ranked[name].to_list() for name in ("user", "rank", "item", "score", "propensity")})
        )
    lists = pl.concat(parts).with_columns(model_version=pl.lit(str(version)), explanation=pl.lit(None, dtype=pl.String))
    lists = lists.select(pl.col(name).cast(dtype) for name, dtype in RECOMMENDATIONS.schema.items())
    check(lists, RECOMMENDATIONS)
    lists.write_parquet(draft)
    return lists.height


def recommend_file(model: str, users: Path, out: Path, k: int) -> int:
    """Lists for the column `user` of a Parquet or csv file, by `NAME@alias` or `NAME/version`; returns the rows.

    Raises:
        InputError: the file, its column, or the model is not there.
    """
    if not users.is_file():
        raise InputError("the file of users does not exist", file=users, remedy="give a Parquet or csv file")
    read = pl.read_parquet if users.suffix == ".parquet" else pl.read_csv
    try:
        frame = read(users)
    except (pl.exceptions.PolarsError, OSError) as fault:
        raise InputError(f"the file of users cannot be read: {fault}", file=users, remedy="Parquet or csv") from fault
    if "user" not in frame.columns:
        raise InputError(
            f"the file has no column user; found: {', '.join(frame.columns)}", file=users, column="user",
            remedy="name the column `user`",
        )  # fmt: skip
    uri, version = find_version(model)
    wanted = [str(user) for user in frame["user"].unique(maintain_order=True)]
    with aside(out.absolute()) as draft:
        return write_lists(uri, version, wanted, k, draft)

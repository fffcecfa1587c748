"""Raw text -> staged Parquet: lines are numbered, split, typed and judged; none is lost, bad ones are kept apart."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from rlrec.errors import InputError
from tasks import queries
from tasks.database import BrokenCheckError, assure, rows_of, run
from tasks.lines import LINES, SEPARATORS, find_fields, number_lines
from tasks.sources import RawFile, Source

MAX_REJECT_SHARE = 0.01
LOWEST_RATING, HIGHEST_RATING = 1, 5  # MovieLens README
EARLIEST, LATEST = 0, 4_102_444_800  # 1970-01-01 and 2100-01-01, seconds UTC


@dataclass(frozen=True)
class LineCounts:
    """What became of a file's lines: lines = header + blank + read, read = accepted + quarantined."""

    lines: int
    header: int
    blank: int
    read: int
    accepted: int
    quarantined: int


@dataclass(frozen=True)
class Staged:
    """A raw file after staging: its name, its typed and judged rows, and the counts."""

    file: str
    rows: Path
    counts: LineCounts


def stage_ratings(source: Source, scratch: Path, connection: duckdb.DuckDBPyConnection) -> Staged:
    """The ratings: user_id, item_id, value, seconds."""
    return stage(
        queries.StageRatings,
        ("user_field", "item_field", "value_field", "seconds_field"),
        source.ratings,
        source.layout.ratings,
        scratch,
        connection,
        lowest=LOWEST_RATING,
        highest=HIGHEST_RATING,
        earliest=EARLIEST,
        latest=LATEST,
    )


def stage_items(source: Source, scratch: Path, connection: duckdb.DuckDBPyConnection) -> Staged:
    """The items: item_id, title, year_text, categories."""
    form = source.layout.items
    if source.layout.flags:
        return stage(
            queries.StageFlaggedItems,
            ("item_field", "title_field"),
            source.items,
            form,
            scratch,
            connection,
            flags_field=len(form.columns) - len(source.layout.flags) + 1,
            genres=source.layout.flags,
        )
    dated = len(form.columns) > len(("item", "title", "genres"))
    names = ("item_field", "title_field", *(("year_field",) if dated else ()), "genres_field")
    year = {} if dated else {"year_field": 0}
    separator = source.layout.genre_separator
    return stage(
        queries.StageNamedItems, names, source.items, form, scratch, connection, genre_separator=separator, **year
    )


def stage_knowledge(source: Source, scratch: Path, connection: duckdb.DuckDBPyConnection) -> tuple[Staged, Staged]:
    """The knowledge graph's links (item_id, entity) and triples (head, relation, tail); no rows when there is none."""
    triples = ("head_field", "relation_field", "tail_field")
    return (
        stage(queries.StageLinks, ("item_field", "entity_field"), source.links, source.links_form, scratch, connection),
        stage(queries.StageTriples, triples, source.knowledge, source.knowledge_form, scratch, connection),
    )


def stage(
    query: Callable[..., queries.StageLines],
    field_names: Iterable[str],
    file: Path | None,
    form: RawFile,
    scratch: Path,
    connection: duckdb.DuckDBPyConnection,
    **constants: object,
) -> Staged:
    """Number a file's lines and run its staging statement; without a file, over no lines.

    Raises:
        InputError: the file is unusable, or too many of its lines are rejected.
        BrokenCheckError: a line got lost.
    """
    lines, rows = scratch / f"{form.name}.lines.parquet", scratch / f"{form.name}.parquet"
    if file is None:
        width, positions = len(form.columns), tuple(range(1, len(form.columns) + 1))
        total = 0
        pq.write_table(LINES.empty_table(), lines)
    else:
        width, positions = find_fields(file, form)
        total = number_lines(file, form, lines)
    places = dict(zip(field_names, positions, strict=False))
    header_lines = int(form.header)
    statement = query(
        lines=lines,
        file_name=form.name if file is None else file.name,
        separator=form.separator,
        header_lines=header_lines,
        width=width,
        **places,
        **constants,
    )
    run(statement, rows, connection)
    assure(queries.LostLines(lines=lines, staged=rows, header_lines=header_lines), connection)
    (found,) = rows_of(queries.LineCounts(lines=lines, staged=rows, header_lines=header_lines), connection, 1)
    counts = LineCounts(**found)
    if counts.lines != total or counts.read != counts.accepted + counts.quarantined:
        raise BrokenCheckError(f"{statement.file_name}: {total} lines were written, staging counts {counts}")
    if file is not None:
        refuse_many_rejects(file, form, rows, counts, connection)
    return Staged(statement.file_name, rows, counts)


def refuse_many_rejects(
    file: Path, form: RawFile, rows: Path, counts: LineCounts, connection: duckdb.DuckDBPyConnection
) -> None:
    """Stop when the file as a whole is wrong, not some of its lines.

    Raises:
        InputError: no line can be used, or more than `MAX_REJECT_SHARE` cannot.
    """
    if not counts.read:
        raise InputError("the file holds no rows", file=file, remedy="hand over the complete file")
    if counts.quarantined <= MAX_REJECT_SHARE * counts.read:
        return
    (most,) = rows_of(queries.RejectCounts(staged=rows), connection, 1)
    reason, column = str(most["reason"]), most["rejected_column"]
    shape = f"{len(form.columns)} columns ({', '.join(form.columns[:4])}) separated by {SEPARATORS[form.separator]}"
    if column is None and reason.startswith("repeats"):
        remedy = "remove the repeated lines; was the file appended to itself?"
    elif column is None:
        remedy = f"check the separator: {form.name} has {shape}"
    elif reason.startswith("after 2100"):
        remedy = "divide the timestamps by 1,000"
    else:
        remedy = f"correct the column {column}; {form.name} has {shape}"
    raise InputError(
        f"{counts.quarantined:,} of {counts.read:,} lines are rejected, more than {MAX_REJECT_SHARE:.0%}; "
        f"most often: {reason} (first in line {most['first_line']})",
        file=file,
        column=None if column is None else str(column),
        rows=counts.quarantined,
        remedy=remedy,
    )

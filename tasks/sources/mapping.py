"""Your own logs: a TOML file that says where they lie, what their columns mean, and how their times read.

One `[[source]]` for each layout of files. A source that maps `columns.request` is a log of shown slates, any other one
is a log of events; the same file may stand in both. What a key means stands beside it below.
"""

import codecs
import difflib
from collections.abc import Mapping as Sections
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError, model_validator

from rlrec.errors import InputError
from tasks.blocks import header_lines, split_record, start_of, whole_lines
from tasks.queries import Own, OwnEvents, OwnSlates
from tasks.settings import explained, read_toml
from tasks.sources.catalogue.bundle import Feed
from tasks.sources.rawfiles import PACKED, open_raw
from tasks.sources.registry import MAX_REJECT_SHARE, RawFile, text_lines

Format = Literal["csv", "tsv", "jsonl", "parquet"]
Behaviour = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
FORMATS: dict[str, Format] = {
    ".csv": "csv", ".dat": "csv", ".txt": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".json": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
HEAD_BYTES = 1 << 20
ABSENT = "\0"  # before a role that no column plays: no file has a column of such a name
SLATE_ROLES = ("position", "candidates", "propensity", "propensities", "reward")


class Section(BaseModel):
    """A part of the mapping: nothing changes it, no key is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Columns(Section):
    """Which column plays which role; in JSON lines a key, `a.b` for one inside another, or a JSON pointer `/a/b`."""

    user: str | None = None
    """Who; the session where it is absent."""
    item: str
    """What."""
    session: str | None = None
    """The visit."""
    time: str | None = None
    """When; `time` says how it is written."""
    behaviour: str | None = None
    """What was done; `behaviours` says which value means what."""
    value: str | None = None
    """Stars, seconds watched, pieces bought: a number, or empty."""
    request: str | None = None
    """Which slate the item was shown in. Mapping it makes the file a log of slates, one shown item a record."""
    position: str | None = None
    """Where in the slate; absent: each slate shows one item."""
    candidates: str | None = None
    """The items that could have been shown: a list, or text separated by `list_separator`."""
    propensity: str | None = None
    """The logging policy's probability of showing the item there; kept as it is, in float64. Empty: unknown."""
    propensities: str | None = None
    """Those of all candidates, in their order; they sum to 1."""
    reward: str | None = None
    """The reward itself: a number, or true and false."""
    logging_policy: str | None = None
    """Who chose the slate."""
    logging_policy_version: str | None = None
    """In which version."""

    @property
    def by_role(self) -> dict[str, str]:
        """Role to column, for roles that a column plays; whoever is not named goes by the session or the request."""
        told = {role: column for role, column in self.model_dump().items() if column is not None}
        user = self.user or self.session or self.request
        return told | ({"user": user} if user else {})


class Time(Section):
    """How the time column is written."""

    unit: Literal["s", "ms", "us", "ns"] | None = None
    """A number of these since 1970 in UTC."""
    format: str | None = None
    """`iso` (2024-03-31T10:00:00+02:00, with or without time of day and offset), or a strptime format of DuckDB."""
    zone: str = "UTC"
    """The IANA zone of times without an offset. Where clocks are put forward, a time that does not exist is rejected;
    where they are put back, a time that exists twice is the earlier of the two."""
    earliest: date = date(1990, 1, 1)
    """Times before this day are rejected."""
    latest: date = date(2100, 1, 1)
    """Times after the start of this day are rejected."""

    @model_validator(mode="after")
    def readable(self) -> Self:
        """One way to read it, and a zone that exists."""
        if (self.unit is None) == (self.format is None):
            raise ValueError("give either unit or format")
        if self.unit and self.zone != "UTC":
            raise ValueError("a number of seconds since 1970 has no zone; leave zone out")
        if self.zone not in (zones := available_timezones()):
            near = difflib.get_close_matches(self.zone, zones, n=1, cutoff=0.0)
            raise ValueError(f"there is no time zone {self.zone!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        if self.format not in (None, "iso"):
            try:
                duckdb.execute("select try_strptime('', $1)", [self.format])
            except duckdb.Error as fault:
                raise ValueError(f"{self.format!r} is no time format ({fault})") from fault
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """As the statement takes them."""
        pattern = self.format not in (None, "iso")
        return {
            "clock": "number" if self.unit else "pattern" if pattern else "iso",
            "per_second": PER_SECOND[self.unit or "s"],
            "pattern": self.format if pattern else "%Y",
            "zoned": pattern and "%z" in (self.format or "").lower(),
            "zone": self.zone,
            "earliest": midnight(self.earliest),
            "latest": midnight(self.latest),
        }


class Source(Section):
    """Files of one layout."""

    files: str | tuple[str, ...]
    """Paths or patterns such as `logs/*.csv.gz`, from the folder of the mapping."""
    format: Format | None = None
    """By the file's ending when absent, also under .gz, .zst and .zip."""
    separator: Annotated[str, Field(min_length=1)] | None = None
    """Between columns; a comma in csv, a tab in tsv."""
    quote: Annotated[str, Field(max_length=1)] | None = None
    """Around columns that hold separators or line ends; `"` in csv, none in tsv."""
    encoding: str = "utf-8"
    """Of text."""
    decimal: Literal[".", ","] = "."
    """Before the fraction in value, reward and propensity."""
    header: bool = True
    """Whether the first record names the columns."""
    names: tuple[str, ...] = ()
    """All columns' names, in order, of a file without a header."""
    columns: Columns
    """Which column plays which role."""
    time: Time | None = None
    """How columns.time is written."""
    behaviour: Behaviour | None = None
    """What every record is, such as "view", in a file without such a column."""
    behaviours: dict[str, Behaviour] = Field(default_factory=dict)
    """Value of columns.behaviour to view, click, cart, purchase, rating or a name of your own."""
    others: Literal["reject", "drop"] = "reject"
    """What happens to records with other values: quarantine, or the filter `behaviour not listed`."""
    positions_from: Literal[0, 1] = 0
    """The first position."""
    list_separator: Annotated[str, Field(min_length=1)] = "|"
    """Between the parts of candidates and propensities that are text."""
    propensity_kind: Literal["item_position", "slate", "cascade"] = "item_position"
    """What a propensity is the probability of."""
    rewards: dict[Behaviour, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)
    """What each behaviour counts, such as {click = 1, purchase = 5}; others count 0."""
    reward_at_least: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """A value of at least this counts 1, others 0."""
    logging_policy: str = "unknown"
    """Who chose the slates, where no column tells."""
    logging_policy_version: str = "unknown"
    """In which version."""

    @property
    def is_slates(self) -> bool:
        """Whether a record is a shown item rather than an event."""
        return self.columns.request is not None

    @model_validator(mode="after")
    def whole(self) -> Self:
        """Everything that is needed, and nothing that contradicts."""
        given = self.columns
        if not {"user", "session", "request"} & given.model_fields_set:
            raise ValueError("columns lacks user, the column that says who; a session will do")
        if (given.time is None) != (self.time is None):
            raise ValueError("columns.time and time (unit or format) go together")
        if self.header == bool(self.names):
            raise ValueError("a file without a header needs names, and only such a file; set header = false")
        if self.behaviour and (given.behaviour or self.behaviours):
            raise ValueError("give either behaviour, or columns.behaviour with behaviours")
        if (given.behaviour is None) != (not self.behaviours):
            raise ValueError('columns.behaviour needs behaviours, such as {addtocart = "cart"}, and the reverse')
        try:
            codecs.lookup(self.encoding)
        except LookupError as fault:
            raise ValueError(f"there is no encoding {self.encoding!r}") from fault
        self._reward_given()
        return self

    def _reward_given(self) -> None:
        given = self.columns
        rules = [given.reward is not None, bool(self.rewards), self.reward_at_least is not None]
        if not self.is_slates:
            stray = next((role for role in SLATE_ROLES if getattr(given, role) is not None), None)
            if stray or any(rules):
                raise ValueError(f"{stray or 'the reward'} is about shown slates: columns.request must say which slate")
            if not (self.behaviour or given.behaviour):
                raise ValueError('say what a record is: behaviour = "view", or columns.behaviour and behaviours')
        elif sum(rules) != 1:
            raise ValueError("slates need one rule for the reward: columns.reward, rewards, or reward_at_least")
        elif self.rewards and not (given.behaviour or self.behaviour):
            raise ValueError("rewards needs columns.behaviour")
        elif self.reward_at_least is not None and given.value is None:
            raise ValueError("reward_at_least needs columns.value")

    def found(self, folder: Path) -> list[Path]:
        """The files, each once, in order of their names.

        Raises:
            InputError: a path or pattern finds nothing, or a folder.
        """
        files: set[Path] = set()
        for pattern in (self.files,) if isinstance(self.files, str) else self.files:
            plain = folder / pattern
            start = Path(plain.anchor) if Path(pattern).is_absolute() else folder
            some = [plain] if plain.exists() else list(start.glob(str(Path(pattern).relative_to(Path(pattern).anchor))))
            if not some:
                raise InputError("no file has this name", file=plain, remedy="correct source.files in the mapping")
            files |= {file for file in some if file.is_file()}
            if plain.is_dir():
                raise InputError("this is a folder", file=plain, remedy=f'let source.files be "{pattern}/*"')
        return sorted(files)

    def form(self, file: Path) -> RawFile:
        """How the file is laid out.

        Raises:
            InputError: its ending does not tell its format, or a column is not in it.
        """
        kind = self.format or format_of(file)
        if kind is None:
            raise InputError(
                "the ending does not tell the format",
                file=file,
                remedy="let source.format be csv, tsv, jsonl or parquet",
            )
        if kind == "jsonl":
            return text_lines(file.name, encoding=self.encoding)
        separator = "" if kind == "parquet" else self.separator or ("\t" if kind == "tsv" else ",")
        quote = ('"' if kind == "csv" else "") if self.quote is None else self.quote
        by_role = self.columns.by_role
        places = {role: by_role.get(role, ABSENT + role) for role in Columns.model_fields}
        form = RawFile(
            file.name,
            separator,
            tuple(places.values()),
            header=self.header,
            encoding=self.encoding,
            quote=quote if len(separator) == 1 else "",
            kind="parquet" if kind == "parquet" else "fields",
            optional=tuple(column for column in places.values() if column.startswith(ABSENT)),
            called=tuple(f"{role}_raw" for role in places),
            labels=self.names,
            trimmed=kind != "parquet",
        )
        self._find_columns(file, form)
        return form

    def _find_columns(self, file: Path, form: RawFile) -> None:
        types = column_types(file) if form.kind == "parquet" else {}
        names = list(types or self.names or header_of(file, form))
        for role, column in self.columns.by_role.items():
            if column not in names and len(names) > 1:
                near = difflib.get_close_matches(column, names, n=1, cutoff=0.0) or names
                raise InputError(
                    f"there is no column {column!r} for the role {role}; the nearest is {near[0]!r}",
                    file=file,
                    column=column,
                    remedy=f"let source.columns.{role} be one of: {', '.join(names)}",
                )
        timed = self.columns.time if self.time and self.time.format != "iso" else None
        if timed in types and pa.types.is_temporal(types[timed]):
            raise InputError(
                "the column holds times, not numbers or text",
                file=file,
                column=timed,
                remedy='let source.time be { format = "iso" }, with zone when they are local times',
            )

    def statement(self, form: RawFile) -> Own:
        """What types and judges a record."""
        by_role, given = self.columns.by_role, self.columns
        shared: dict[str, Any] = {
            "roles": tuple(by_role),
            "columns": tuple(by_role.values()),
            "behaviour": self.behaviour or "",
            "others": self.others,
            "trimmed": form.trimmed,
            **(self.time.parameters if self.time else {}),
            "decimal": "" if self.decimal == "." else self.decimal,
        }
        if form.kind == "lines":
            shared["paths"] = tuple(pointer(by_role.get(role, ABSENT)) for role in Columns.model_fields)
        if self.behaviours:
            shared |= {
                "behaviour_values": tuple(self.behaviours),
                "behaviours": tuple(self.behaviours.values()),
            }
        if not self.is_slates:
            return OwnEvents(**shared, valued=given.value is not None)
        if self.rewards:
            shared |= {
                "weighted_behaviours": tuple(self.rewards),
                "weights": tuple(repr(weight) for weight in self.rewards.values()),
            }
        return OwnSlates(
            **shared,
            behaved=bool(self.behaviours),
            placed=given.position is not None,
            first_position=self.positions_from,
            reward_by="weight" if self.rewards else "column" if given.reward else "threshold",
            rewarding_role="reward" if given.reward else "value",
            threshold=self.reward_at_least or 0.0,
            propensity_kind=self.propensity_kind,
            logging_policy=self.logging_policy,
            logging_policy_version=self.logging_policy_version,
            candidates_given=given.candidates is not None,
            propensities_given=given.propensities is not None,
            list_separator=self.list_separator,
        )


class Mapping(Section):
    """What `rlrec ingest` must know of somebody's own logs."""

    name: str = ""
    """What the corpus is called; the mapping's file name when empty."""
    source: Annotated[tuple[Source, ...], Field(min_length=1)]
    """The layouts."""
    partition: Literal["day", "month", "year", "none"] | None = None
    """Time span of a partition; by the number of days when absent."""
    max_reject_share: Annotated[float, Field(ge=0, le=1)] = MAX_REJECT_SHARE
    """More rejected rows of a file than this stop the ingestion."""
    filters: tuple[dict[str, object], ...] = ()
    """Applied in this order, each counted."""
    splits: tuple[dict[str, object], ...] = ()
    """Which events are for training, validation and test."""
    propensities: dict[str, object] | None = None
    """The model that estimates propensities where the log has none, such as {model = "frequency"}."""
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """Where the mapping lies; its files are found from here."""
        return self._folder

    def feeds(self) -> list[Feed]:
        """Every file with its form and its statement; a file is called by its path from the mapping's folder.

        Raises:
            InputError: a file or a column is not there.
        """
        feeds: list[Feed] = []
        for source in self.source:
            for file in source.found(self.folder):
                form = source.form(file)
                label = file.relative_to(self.folder) if file.is_relative_to(self.folder) else file
                feeds.append(Feed(file, form, source.statement(form), label.as_posix()))
        return feeds


def load_mapping(file: Path, judges: Sections[str, TypeAdapter[Any]] | None = None) -> Mapping:
    """The mapping; `judges` are the types that `filters` and `splits` must fit.

    Raises:
        InputError: it is missing, not TOML, or has a key or value that does not fit.
    """
    values = read_toml(file, "mapping")
    judge: type[BaseModel] | TypeAdapter[Any] = Mapping
    section = ""
    try:
        mapping = Mapping.model_validate(values)
        for section, judge in (judges or {}).items():
            judge.validate_python(getattr(mapping, section))
    except ValidationError as fault:
        raise explained(fault, file, judge, section) from fault
    mapping = mapping.model_copy(update={"name": mapping.name or file.stem})
    mapping._folder = file.parent
    return mapping


def midnight(day: date) -> int:
    """Seconds from 1970 to the start of the day, UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def pointer(key: str) -> str:
    """The JSON pointer of a key, dots leading inwards."""
    if key.startswith("/"):
        return key
    return "/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in key.split("."))


def format_of(file: Path) -> Format | None:
    """By the ending, under that of the compression."""
    name = Path(file.name.lower())
    return FORMATS.get((name.with_suffix("") if name.suffix in PACKED else name).suffix)


def head(file: Path, size: int = HEAD_BYTES) -> bytes:
    """The first whole lines of a text file, without byte order mark.

    Raises:
        InputError: the file is missing, damaged or UTF-16.
    """
    with open_raw(file) as stream:
        chunk = stream.read(size)
        text, _ = whole_lines(start_of(chunk, file), final=len(chunk) < size)
    return text


def header_of(file: Path, form: RawFile) -> list[str]:
    """The names in the first record; empty for an empty file, which staging refuses.

    Raises:
        InputError: the file is missing, damaged or UTF-16.
    """
    text = head(file)
    lines = text.decode(form.encoding, "replace").split("\n")[: header_lines(text, form)]
    return split_record("\n".join(lines), form.separator, form.quote) or []


def column_types(file: Path) -> dict[str, pa.DataType]:
    """A Parquet file's columns.

    Raises:
        InputError: it is none.
    """
    try:
        return {field.name: field.type for field in pq.read_schema(file)}
    except (pa.ArrowInvalid, OSError) as fault:
        raise InputError(
            f"the Parquet file cannot be read ({str(fault).splitlines()[0]})", file=file, remedy="write it again"
        ) from fault

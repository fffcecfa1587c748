"""A first mapping for a stranger's file: guessed from the names of its columns and from what stands in them."""

import csv
import io
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlrec.errors import InputError
from tasks.sources.mapping import PER_SECOND, Format, Time, column_types, format_of, head, midnight
from tasks.sources.rawfiles import PACKED, open_raw

SAMPLE_BYTES = 4 << 20
SHAPE_BYTES = 1 << 16
SAMPLE_RECORDS = 20_000
CLOCK_RECORDS = 500
MOSTLY = 0.98
FEW, MANY = 30, 200
FEW_IDS = 10
MOST_SHOWN = 12
HIGHEST_RATING = 10
DEEPEST = 4
SEPARATORS = ("\t", "::", ";", "|", ",", " ")
SEPARATORS_WITHOUT_QUOTES = ("\t", "::", " ")
ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.]\d{1,9})?)?( ?UTC|Z|[+-]\d\d(:?\d\d)?)?)?")
COMMA = re.compile(r"^(\s*-?\d+),(\d+\s*)$")
CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d([.]\d+)?)?")
SHEET_DAYS = 32_874, 73_051  # 1990-01-01 and 2100-01-01, counted from 1899-12-30
OFFSET = re.compile(r":[\d.]+( ?UTC|Z|[+-][\d:]+)$")
PATTERNS = (
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y",
    "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y",
    "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%d/%m/%y %H:%M",
    "%m/%d/%y %H:%M", "%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d-%m-%Y", "%Y-%m-%d %H", "%Y%m%d%H%M%S", "%Y%m%d",
    "%d %b %Y %H:%M:%S", "%b %d %Y %H:%M:%S", "%a %b %d %H:%M:%S %z %Y",
)  # fmt: skip
NAMES = {
    "user": "userid user uid visitorid visitor customerid customer clientid client memberid member profileid accountid "
    "account reviewerid reviewer username buyerid cookieid cookie deviceid anonymousid kunde kundennummer nutzer "
    "benutzer utilisateur usuario cliente",
    "item": "itemid item iid productid product sku asin parentasin movieid movie articleid article trackid track "
    "songid song videoid video bookid book isbn businessid contentid newsid goodsid listingid adid poiid reference "
    "artikel artikelnummer produkt produit articulo producto prodotto",
    "session": "sessionid session sid visitid visit",
    "time": "timestamp ts time datetime eventtime eventtimestamp createdat created occurredat unixreviewtime timems "
    "date eventdate clicktime reviewtime servertime at zeitstempel datum zeit horodatage fecha data",
    "behaviour": "event eventtype eventname behavior behaviour behaviortype behaviourtype action actiontype activity "
    "interaction type verb ereignis aktion evenement evento accion",
    "value": "rating ratings stars overall score value rate grade bewertung note calificacion",
    "request": "requestid request slateid slate impressionid queryid searchid",
    "position": "position pos slot rank",
    "candidates": "candidates candidateitems candidatelist impressions",
    "propensity": "propensity propensityscore pscore actionprob probability prob",
    "propensities": "propensities candidatepropensities candidateprobabilities",
    "reward": "reward click clicked isclick label",
    "logging_policy": "loggingpolicy policy",
    "logging_policy_version": "loggingpolicyversion policyversion",
}
"""What logs of the field call a role, likelier names first; case and signs do not count."""
SLATE_ROLES = ("request", "position", "candidates", "propensity", "propensities", "reward", "logging_policy",
               "logging_policy_version")  # fmt: skip
UNDONE = re.compile(r"^(remove|cancel|un|dis|refund|return|delete)")
BEHAVIOURS = {
    "purchase": re.compile(
        r"purchase|^buy|bought|transaction|^order|checkout|conversion|^sale$|^paid$|^pay|kauf|bestell|achat|compra"
    ),
    "cart": re.compile(r"cart|basket|warenkorb|panier|carrito"),
    "rating": re.compile(r"^rat(e|ing)|stars?$|review"),
    "click": re.compile(r"click|^tap"),
    "favourite": re.compile(r"^fav|^like|wishlist"),
    "view": re.compile(r"view|impression|^pv$|^show|^visit|ansicht|^vue|^vista"),
    "play": re.compile(r"^play|^watch|^listen|^stream"),
}
"""What values of a behaviour mean; the first that fits counts."""


@dataclass(frozen=True)
class Sample:
    """The first records of a file, column by column as text, and how they had to be read."""

    columns: dict[str, list[str]]
    format: Format
    separator: str = ""
    quote: str = ""
    encoding: str = "utf-8"
    header: bool = True
    decimal: str = "."
    stray: int = 0
    """Lines before the header."""

    @property
    def records(self) -> int:
        """How many."""
        return max(map(len, self.columns.values()), default=0)


@dataclass(frozen=True)
class Guess:
    """Which column plays a role, and why."""

    column: str
    why: str


def infer(file: Path, folder: Path | None = None) -> str:
    """A first mapping as TOML, to lie in `folder` (the file's own when absent); comments explain each guess.

    Raises:
        InputError: the file is missing, empty, damaged, or in no format that a mapping can describe.
    """
    taken = sample(file)
    roles = guess_roles(taken)
    lines = [
        f"# A first mapping of {text(file.name)}, guessed from its first {taken.records:,} records.",
        "# Check every guess, and look at a dry run before you ingest.",
        "",
        "[[source]]",
        f"files = {text(os.path.relpath(file, folder or file.parent))}",
        *shape(taken),
        *meaning(file, taken, roles),
        "",
        "[source.columns]",
        *columns(taken, roles),
    ]
    if "time" in roles:
        told, why = clock_of(taken.columns[roles["time"].column]) or ({}, "")
        lines += ["", "[source.time]", f"# {why}", *(f"{key} = {text(value)}" for key, value in told.items())]
    if "behaviour" in roles:
        found = behaviours_of(taken.columns[roles["behaviour"].column])
        lines += ["", "[source.behaviours]"]
        lines += [f"{text(value)} = {text(name)}" for value, name in found.items() if name]
        lines += [f"# {text(value)} = what?" for value, name in found.items() if not name]
    return "\n".join(lines) + "\n"


def shape(taken: Sample) -> Iterator[str]:
    """The lines on how records are split."""
    yield f"format = {text(taken.format)}"
    if taken.format in ("csv", "tsv"):
        yield f"separator = {text(taken.separator)}"
        yield f"quote = {text(taken.quote)}"
        if taken.encoding != "utf-8":
            yield "# not UTF-8; look whether accents are right"
            yield f"encoding = {text(taken.encoding)}"
        if taken.decimal != ".":
            yield "# fractions stand after a comma"
            yield f"decimal = {text(taken.decimal)}"
        if taken.stray:
            yield f"# {taken.stray} lines before the header are no records: delete them, set header = true, drop names"
        elif not taken.header:
            yield "# the first record looks like data; these names are made up"
        if not taken.header:
            yield "header = false"
            yield f"names = [{', '.join(text(name) for name in taken.columns)}]"


def meaning(file: Path, taken: Sample, roles: dict[str, Guess]) -> Iterator[str]:
    """The lines on what a record means; they stand before the tables."""
    if "behaviour" in roles:
        if strange := [
            value for value, name in behaviours_of(taken.columns[roles["behaviour"].column]).items() if not name
        ]:
            yield f"# values whose meaning is unknown are dropped, and counted: {listed(strange)}"
            yield 'others = "drop"'
    elif "request" not in roles:
        name = file.name.lower()
        fixed = (
            "rating" if "value" in roles else next((key for key, how in BEHAVIOURS.items() if how.search(name)), None)
        )
        why = "there are ratings" if "value" in roles else "so the file's name says" if fixed else "nothing says what"
        yield f"# what each record is: {why}"
        yield f"behaviour = {text(fixed or 'view')}"
    if "position" in roles:
        lowest = min((float(value) for value in taken.columns[roles["position"].column] if is_number(value)), default=0)
        yield "# the smallest position of the sample"
        yield f"positions_from = {int(lowest >= 1)}"
    if "request" in roles and "reward" not in roles:
        yield "# no column looks like the reward: name it in columns.reward, or give rewards or reward_at_least"
    elif "propensity" in roles and "request" not in roles:
        yield "# propensities are of use only with columns.request: which slate was the item shown in?"


def columns(taken: Sample, roles: dict[str, Guess]) -> Iterator[str]:
    """The lines of the table of roles, and what was left out."""
    for role, guess in roles.items():
        yield f"{role} = {text(guess.column)}  # {guess.why}"
    for role in ("user", "item", "time"):
        if role not in roles and not (role == "user" and {"session", "request"} & roles.keys()):
            need = "without it no event has an order" if role == "time" else "it is needed"
            yield f"# {role} = ?  # no column looks like it, and {need}"
    left = [name for name in taken.columns if name not in {guess.column for guess in roles.values()}]
    if left:
        yield f"# left out: {listed(left)}"
    yield from hints(taken, roles, left)


def hints(taken: Sample, roles: dict[str, Guess], left: Sequence[str]) -> Iterator[str]:
    """The lines on what no mapping can mend, but whoever wrote the file."""
    found = {name: [value.strip() for value in taken.columns[name] if value.strip()] for name in taken.columns}
    for name in left:
        values, names = found[name][:CLOCK_RECORDS], plain_names(name)
        if "time" not in roles and names & set(NAMES["time"].split()) and all(map(is_sheet_day, values)):
            yield f"# {text(name)} counts days since 1900, as spreadsheets do: save it as 2024-03-31 10:00:00"
        elif "time" in roles and values and all(CLOCK.fullmatch(value) for value in values):
            yield f"# {text(name)} is a time of day: put it behind the date, in one column, to keep the order"
        elif "behaviour" not in roles and names & set(NAMES["behaviour"].split()) and len(set(values)) <= FEW:
            yield f"# if {text(name)} says what was done, name it in columns.behaviour, and in [source.behaviours] what"
            yield f"# {listed(sorted(set(values)))} mean, in place of the one behaviour above"
    for role in ("user", "item"):
        values = found[roles[role].column] if role in roles else []
        if values and all(value.endswith(".0") for value in values):
            yield f"# ids are kept as they are: {text(values[0])} here is not {text(values[0][:-2])} in another file"


def is_sheet_day(value: str) -> bool:
    """Whether it may be a day of 1990 to 2100 as spreadsheets count them."""
    return is_number(value) and SHEET_DAYS[0] <= float(value) <= SHEET_DAYS[1]


def guess_roles(taken: Sample) -> dict[str, Guess]:
    """Role to column: by name where one of the field's names stands there, else by content."""
    found: dict[str, Guess] = {}
    plain = {name: plain_names(name) for name in taken.columns}

    def free() -> list[str]:
        return [name for name in taken.columns if name not in {guess.column for guess in found.values()}]

    fit: dict[str, Callable[[list[str]], bool]] = {
        "time": lambda values: clock_of(values) is not None,
        "behaviour": lambda values: any(behaviours_of(values).values()),
        "value": are_numbers, "position": are_numbers, "propensity": are_numbers,
    }  # fmt: skip
    for role, synonyms in NAMES.items():
        for synonym in synonyms.split():
            column = next((name for name in free() if synonym in plain[name]), None)
            if column is not None and any(taken.columns[column]) and fit.get(role, any)(taken.columns[column]):
                found[role] = Guess(column, "by its name")
                break
    if "request" not in found or not {"position", "propensity"} & found.keys():
        for role in SLATE_ROLES:
            found.pop(role, None)
    by_content: dict[str, Callable[[list[str]], bool]] = {
        "time": fit["time"],
        "behaviour": are_behaviours,
        "value": are_ratings,
    }
    for role, fits in by_content.items():
        skip = role == "value" and ("behaviour" in found or taken.header)
        column = next((name for name in free() if fits(taken.columns[name])), None)
        if role not in found and column is not None and not skip:
            found[role] = Guess(column, "by its content")
    for role, others in (("user", {"user", "session", "request"}), ("item", {"item"})):
        fits = are_repeated_ids if role == "user" else are_ids
        column = next((name for name in free() if fits(taken.columns[name])), None)
        if not others & found.keys() and column is not None:
            found[role] = Guess(column, "by its place among the columns that are left: look twice")
    return {role: found[role] for role in NAMES if role in found}


def sample(file: Path) -> Sample:
    """The first records.

    Raises:
        InputError: the file is missing, empty, damaged, or in no format that a mapping can describe.
    """
    with open_raw(file) as stream:
        start = stream.read(4)
    kind = "parquet" if start == b"PAR1" else format_of(file)
    if kind == "parquet":
        return sample_parquet(file)
    content = head(file, SAMPLE_BYTES)
    if not content.strip():
        raise InputError("the file is empty", file=file, remedy="hand over the complete file")
    if b"\0" in content[:SHAPE_BYTES]:
        raise InputError(
            "the file is no text and no Parquet",
            file=file,
            remedy="export it as csv, JSON lines or Parquet; from a spreadsheet, save it as csv",
        )
    first = content.lstrip()[:1]
    if kind == "jsonl" or first == b"{":
        return sample_json(file, content)
    return sample_text(file, content)


def sample_parquet(file: Path) -> Sample:
    """The first records of a Parquet file."""
    if file.suffix in PACKED:
        raise InputError("Parquet is compressed inside", file=file, remedy="unpack the file")
    types = column_types(file)
    lists = (pa.types.is_list, pa.types.is_large_list)
    plain = [name for name, kind in types.items() if not pa.types.is_nested(kind) or any(fit(kind) for fit in lists)]
    batch = next(pq.ParquetFile(file).iter_batches(SAMPLE_RECORDS, columns=plain), None)
    rows = {} if batch is None else batch.to_pydict()
    return Sample({name: [written(value) for value in rows.get(name, ())] for name in plain}, "parquet")


def sample_json(file: Path, content: bytes) -> Sample:
    """The first records of JSON lines; keys inside others are joined with dots."""
    rows: list[dict[str, str]] = []
    for line in content.split(b"\n")[:SAMPLE_RECORDS]:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(dict(flat(row, ())))
    if not rows:
        raise InputError(
            "no line is a JSON object", file=file, remedy="write one object a line, for example: jq -c '.[]' FILE"
        )
    names = dict.fromkeys(name for row in rows for name in row)
    return Sample({name: [row.get(name, "") for row in rows] for name in names}, "jsonl")


def flat(row: dict[str, Any], outer: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Key and value as text; a key with a dot or slash of its own is a JSON pointer."""
    for key, value in row.items():
        path = (*outer, key)
        if isinstance(value, dict) and len(path) < DEEPEST:
            yield from flat(value, path)
        elif any("." in part or "/" in part or not part for part in path):
            yield "/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in path), written(value)
        else:
            yield ".".join(path), written(value)


def written(value: object) -> str:
    """A value as a csv file would hold it."""
    if value is None:
        return ""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return json.dumps(value) if isinstance(value, (list, dict, bool)) else str(value)


def sample_text(file: Path, content: bytes) -> Sample:
    """The first records of separated text."""
    encoding = next((name for name in ("utf-8", "cp1252") if decodes(content, name)), "latin-1")
    whole = content.decode(encoding)
    separator, quote = split_best(whole[:SHAPE_BYTES], prefer="\t" if format_of(file) == "tsv" else None)
    rows = records_of(whole, separator, quote)[:SAMPLE_RECORDS]
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    before = next(place for place, row in enumerate(rows) if len(row) == width)
    named = looks_like_names(rows[before], rows[before + 1 :])
    names = rows[before] if named else [f"column_{i + 1}" for i in range(width)]
    kept = [row for row in rows[before + int(named) :] if len(row) == len(names)]
    found = {name: [row[i] for row in kept] for i, name in enumerate(names)}
    decimal = decimal_of(found)
    return Sample(
        {name: pointed(values, decimal) for name, values in found.items()},
        "tsv" if separator == "\t" else "csv",
        separator,
        quote,
        encoding,
        named and not before,
        decimal,
        before if named else 0,
    )


def decimal_of(columns: dict[str, list[str]]) -> str:
    """The sign before fractions: a comma where a column that is called like a number is written so."""
    named = {name for role in ("value", "reward", "propensity") for name in NAMES[role].split()}
    numbers = ([value for value in columns[name] if value.strip()] for name in columns if plain_names(name) & named)
    return "," if any("," in "".join(values) and are_numbers(pointed(values, ",")) for values in numbers) else "."


def pointed(values: list[str], decimal: str) -> list[str]:
    """With points for decimal commas."""
    return [COMMA.sub(r"\1.\2", value) for value in values] if decimal == "," else values


def decodes(content: bytes, encoding: str) -> bool:
    """Whether the bytes are text in this encoding."""
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def split_best(content: str, prefer: str | None = None) -> tuple[str, str]:
    """The separator and quote with which most records have the same number of columns, and that is most columns."""
    best, told = (0.0, 0, 0), (",", '"')
    for order, separator in enumerate(SEPARATORS):
        if separator == " " and best[0] == 1.0:
            break  # blanks beside another separator
        for quote in ('"', "") if '"' in content and len(separator) == 1 else ("",):
            rows = records_of(content, separator, quote)
            width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (1, 0)
            share = count / len(rows) if width > 1 else 0
            score = (1.0 if share >= MOSTLY else share, width + (separator == prefer) * len(content), -order)
            if score > best:
                best, told = score, (separator, quote)
            if quote and share >= MOSTLY:
                break  # quotes that hold separators make sense here: splitting inside them only looks richer
    separator, quote = told
    return separator, quote if '"' in content or separator in SEPARATORS_WITHOUT_QUOTES else '"'


def records_of(content: str, separator: str, quote: str) -> list[list[str]]:
    """The records; the last one may be cut, and is left out where there are others."""
    if not quote:
        rows = [line.split(separator) for line in content.split("\n") if line.strip()]
    else:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, quotechar=quote)
        rows = [row for row in reader if row]
    return rows[:-1] if len(rows) > 1 and not content.endswith("\n") else rows


def looks_like_names(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether a record names columns: distinct words above numbers or times, or one of the field's names."""
    cells = [cell.strip() for cell in first]
    while cells and not cells[-1] and not any("".join(row[len(cells) - 1 :]).strip() for row in rest):
        cells.pop()  # a separator at the end of each line
    if any((not cell and i) or is_number(cell) or ISO.fullmatch(cell) for i, cell in enumerate(cells)) or len(
        set(cells)
    ) < len(cells):
        return False
    known = {name for synonyms in NAMES.values() for name in synonyms.split()}
    if any(plain_name(cell) in known for cell in cells) or not rest:
        return True
    below = [[row[i] for row in rest if len(row) == len(first)] for i in range(len(cells))]
    return any(are_numbers(values) or clock_of(values) for values in below)


def clock_of(values: Sequence[str]) -> tuple[dict[str, str], str] | None:
    """The section `time` for such values, and why; None where they are no times."""
    filled = [value.strip() for value in values if value.strip()][:CLOCK_RECORDS]
    if not filled:
        return None
    numbers = [float(value) for value in filled if is_number(value)]
    earliest, latest = (midnight(Time.model_fields[end].default) for end in ("earliest", "latest"))
    for unit, scale in PER_SECOND.items():
        if mostly([earliest * scale <= number <= latest * scale for number in numbers], len(filled)):
            seen = [datetime.fromtimestamp(edge / scale, UTC).date() for edge in (min(numbers), max(numbers))]
            return {"unit": unit}, f"as numbers of this unit they lie between {seen[0]} and {seen[1]}"
    if mostly([ISO.fullmatch(value) is not None for value in filled], len(filled)):
        if all(OFFSET.search(value) for value in filled[:FEW]):
            return {"format": "iso"}, "they look like this, with an offset"
        return {"format": "iso", "zone": "UTC"}, "they carry no offset: UTC is assumed, say which zone they are in"
    fitting = [way for way in PATTERNS if mostly([parses(value, way) for value in filled], len(filled))]
    if not fitting:
        return None
    why = "this is how they look"
    if len(fitting) > 1 and fitting[0].startswith("%d/%m"):
        why += "; but the day may be the month, and the other way round: nothing in the sample tells"
    if "%z" in fitting[0]:
        return {"format": fitting[0]}, why
    return {"format": fitting[0], "zone": "UTC"}, f"{why}; UTC is assumed, say which zone they are in"


def parses(value: str, pattern: str) -> bool:
    """Whether the time reads like this."""
    try:
        datetime.strptime(value, pattern)
    except ValueError:
        return False
    return True


def mostly(fits: Sequence[bool], of: int) -> bool:
    """Whether nearly all of so many values fit."""
    return sum(fits) >= MOSTLY * of


def is_number(value: str) -> bool:
    """Whether it is a finite number."""
    try:
        return abs(float(value)) < float("inf")
    except ValueError:
        return False


def are_numbers(values: Sequence[str]) -> bool:
    """Whether what is filled in is numbers."""
    filled = [value for value in values if value.strip()]
    return bool(filled) and mostly([is_number(value) for value in filled], len(filled))


def are_ratings(values: Sequence[str]) -> bool:
    """Whether these may be stars: few whole or half numbers up to ten, no zero."""
    if not are_numbers(values):
        return False
    seen = {float(value) for value in values if is_number(value)}
    return 1 < len(seen) <= FEW and all(0 < star <= HIGHEST_RATING and (2 * star).is_integer() for star in seen)


def are_behaviours(values: Sequence[str]) -> bool:
    """Whether most records say what was done in words that are known."""
    if len(set(values)) > FEW or are_numbers(values):
        return False
    found = behaviours_of(values)
    return sum(found.get(value.strip()) is not None for value in values) > len(values) / 2


def are_ids(values: Sequence[str]) -> bool:
    """Whether these may name things: no fractions, no lists, and many of them where there are many records."""
    seen = {value for value in values if value.strip()}
    if any(value.startswith(("[", "{")) or (is_number(value) and float(value) % 1) for value in seen):
        return False
    return len(seen) > (FEW_IDS if len(values) >= MANY else 1)


def are_repeated_ids(values: Sequence[str]) -> bool:
    """Whether these may name people: ids, some of them more than once."""
    return are_ids(values) and (len(values) < MANY or len(set(values)) < len(values))


def behaviours_of(values: Sequence[str]) -> dict[str, str | None]:
    """Value, most frequent first, to what it probably means; None for unknown. Empty for too many values."""
    seen = Counter(value.strip() for value in values if value.strip())
    if len(seen) > FEW:
        return {}

    def name(value: str) -> str | None:
        word = plain_name(value)
        return None if UNDONE.match(word) else next((key for key, how in BEHAVIOURS.items() if how.search(word)), None)

    return {value: name(value) for value, _ in seen.most_common()}


def plain_name(name: str) -> str:
    """Letters and digits of the innermost key, without accents and RecBole's type after the colon."""
    key = re.split(r"[./]", name.partition(":")[0])[-1]
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", key).lower())


def plain_names(name: str) -> set[str]:
    """The same, and with the key around it: the `id` in `user.id` is `userid`."""
    outer = re.split(r"[./]", name.partition(":")[0])[-2:]
    return {plain_name(name), "".join(map(plain_name, outer))}


def text(value: object) -> str:
    """A TOML string."""
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def listed(values: Sequence[str]) -> str:
    """Some of them, and how many more."""
    more = f", and {len(values) - MOST_SHOWN} more" if len(values) > MOST_SHOWN else ""
    return ", ".join(text(value) for value in values[:MOST_SHOWN]) + more

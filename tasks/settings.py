"""Settings that people write in TOML: read, and judged by a model; a wrong key is told the nearest right one."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from rlrec.errors import InputError

ELEMENT = re.compile(r"[.](\d+)\b")


def read_toml(file: Path, what: str) -> dict[str, Any]:
    """The file's content.

    Raises:
        InputError: there is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as fault:
        raise InputError(
            f"the {what} cannot be read ({fault.strerror})", file=file, remedy="give the path of a TOML file"
        ) from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise InputError(f"the {what} is not valid TOML: {fault}", file=file, remedy="correct the line") from fault


def known_keys(judge: type[BaseModel] | TypeAdapter[Any]) -> list[str]:
    """Every key that a model knows, as `section.key`; those of a list's elements without their place in it."""
    schema = schema_of(judge)
    return sorted(set(_keys(schema, "", schema)))


def schema_of(judge: type[BaseModel] | TypeAdapter[Any]) -> dict[str, Any]:
    """The JSON schema of what a model takes."""
    return judge.json_schema() if isinstance(judge, TypeAdapter) else judge.model_json_schema()


def choices(schema: dict[str, Any], place: Sequence[str | int], root: dict[str, Any]) -> Iterator[str]:
    """The tags that tell apart what may stand at a place."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if not place:
        yield from schema.get("discriminator", {}).get("mapping", ())
    elif isinstance(place[0], int):
        yield from choices(schema.get("items", {}), place[1:], root)
    else:
        yield from choices(schema.get("properties", {}).get(place[0], {}), place[1:], root)


def _keys(schema: dict[str, Any], prefix: str, root: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    for choice in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from _keys(choice, prefix, root)
    if isinstance(schema.get("items"), dict):
        yield from _keys(schema["items"], prefix, root)
    for name, inner in schema.get("properties", {}).items():
        nested = list(_keys(inner, f"{prefix}{name}.", root))
        yield from nested or [f"{prefix}{name}"]


def explained(
    fault: ValidationError, file: Path | None, judge: type[BaseModel] | TypeAdapter[Any], section: str = ""
) -> InputError:
    """The first mistake in words, a misspelt key before a missing one; `section` is where the judged values stand."""
    known = known_keys(judge)
    names = {part for key in known for part in key.split(".")}
    first = min(fault.errors(), key=lambda error: error["type"] != "extra_forbidden")
    place = [str(part) for part in first["loc"]]
    stray = len(place) - 1 if first["type"] == "extra_forbidden" else -1
    key = ".".join(part for i, part in enumerate(place) if part in names or part.isdigit() or i == stray)
    plain = ".".join(part for part in key.split(".") if not part.isdigit())
    told = ELEMENT.sub(lambda found: f"[{int(found[1]) + 1}]", f"{section}.{key}".strip("."))
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(plain, known, n=1, cutoff=0.0)
        return InputError(f"there is no key {told!r}; the nearest is {near[0]!r}", file=file, remedy="correct the key")
    if first["type"] == "missing":
        return InputError(f"the key {told!r} is missing", file=file, remedy="add it")
    if first["type"] == "union_tag_not_found":
        schema, missing = schema_of(judge), first.get("ctx", {})["discriminator"].strip("'")
        possible = ", ".join(map(repr, choices(schema, first["loc"], schema)))
        return InputError(
            f"the key {f'{told}.{missing}'.strip('.')!r} is missing", file=file, remedy=f"choose one of: {possible}"
        )
    given = f" (given: {first['input']!r})" if not isinstance(first["input"], dict) else ""
    said = first["msg"].removeprefix("Value error, ")
    return InputError(f"{told}: {said}{given}".lstrip(": "), file=file, remedy="correct the value")

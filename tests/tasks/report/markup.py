"""Reads a report's HTML back: its tables, its sections, and whatever it would load."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "input"}


@dataclass
class Markup(HTMLParser):
    """Tables as {id: {(group, row name): [(text, exact value)]}}; ids; loads; elements by tag; unclosed tags."""

    tables: dict[str, dict[tuple[str, str], list[tuple[str, str | None]]]] = field(default_factory=dict)
    heads: dict[str, list[str]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    loads: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.table, self.group, self.row, self.reading = "", "", "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag not in VOID:
            self.stack.append(tag)
        if given.get("id"):
            self.ids.add(str(given["id"]))
        self.loads += [str(given[name]) for name in ("src", "href", "srcset", "data") if given.get(name)]
        if tag == "table":
            self.table = str(given["id"])
            self.tables[self.table], self.heads[self.table] = {}, []
        elif tag == "tbody":
            self.group = ""
        elif tag == "th":
            self.reading = {"col": "head", "rowgroup": "group", "row": "row"}[str(given["scope"])]
            self.row = "" if self.reading == "row" else self.row
        elif tag == "td" and given.get("data-label"):
            self.tables[self.table].setdefault((self.group, self.row), []).append(("", given.get("data-value")))
            self.reading = "cell"
        elif tag == "small":
            self.reading = ""

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag
        if tag in ("th", "td"):
            self.reading = ""

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] not in ("script", "style"):
            self.texts.append(data)
        if self.reading == "head" and data.strip():
            self.heads[self.table].append(data.strip())
        elif self.reading == "group":
            self.group += data
        elif self.reading == "row":
            self.row += data
        elif self.reading == "cell":
            text, value = self.tables[self.table][self.group, self.row][-1]
            self.tables[self.table][self.group, self.row][-1] = (text + data, value)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def read(html: str) -> Markup:
    """Parse a whole page; every opened element must be closed."""
    markup = Markup()
    markup.feed(html)
    markup.close()
    assert markup.stack == []
    return markup

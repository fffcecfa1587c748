"""Two calls are the same when what they read is the same: by content, never by place."""

from pathlib import Path

import pytest

from tasks.sources import fetch
from tests.own import write_own

EVENTS = "who,what\na,1\nb,2\n"
MAPPING = 'behaviour = "view"\ncolumns = { user = "who", item = "what" }\n'
SPLIT = '[[splits]]\nprotocol = "leave_one_out"\n'
FILTER = '[[filters]]\nfilter = "k_core"\n'


def key(folder: Path, content: str = EVENTS, toml: str = MAPPING) -> str:
    """The key of ingesting somebody's own log."""
    from tasks.cache import content_key  # here: it loads prefect, which then keeps the settings that it finds

    folder.mkdir(exist_ok=True)
    return content_key("ingest", {"source": fetch(str(write_own(folder, content, toml)))})


def test_own_logs_are_known_by_content_and_not_by_place(tmp_path):
    assert key(tmp_path / "here") == key(tmp_path / "there")


@pytest.mark.parametrize(
    ("content", "toml"),
    [
        (EVENTS + "c,3\n", MAPPING),
        (EVENTS, MAPPING.replace("view", "click")),
        (EVENTS, MAPPING.replace('"who", item = "what"', '"what", item = "who"')),
        (EVENTS, MAPPING + SPLIT),
        (EVENTS, MAPPING + FILTER),
    ],
    ids=["more events", "another meaning", "other roles", "a split", "a filter"],
)
def test_own_logs_that_changed_are_ingested_again(tmp_path, content, toml):
    assert key(tmp_path, content, toml) != key(tmp_path)

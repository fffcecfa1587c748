"""Public logs whose columns play the roles of anybody's log: read as a mapping would read them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.sources.catalogue.bundle import Bundle, Feed
from tasks.sources.mapping import Source

SECONDS, MILLISECONDS = {"unit": "s"}, {"unit": "ms"}


@dataclass(frozen=True)
class LogPart:
    """A raw log whose columns have roles."""

    source: Source
    optional: bool = False

    @property
    def name(self) -> str:
        """The file's name, or a pattern of it."""
        return str(self.source.files)

    def feed(self, file: Path) -> Feed:
        """The file as this part.

        Raises:
            InputError: it lacks a column.
        """
        form = self.source.form(file)
        return Feed(file, form, self.source.statement(form))


def log(files: str, *, optional: bool = False, **told: Any) -> LogPart:
    """A part; what is told stands in `tasks/sources/mapping.py`."""
    return LogPart(Source.model_validate({"files": files, **told}), optional)


RETAILROCKET = Bundle(
    "retailrocket",
    "RetailRocket: views, carts and transactions of a shop, 2015",
    (
        log(
            "events.csv",
            columns={"user": "visitorid", "item": "itemid", "time": "timestamp", "behaviour": "event"},
            time=MILLISECONDS,
            behaviours={"view": "view", "addtocart": "cart", "transaction": "purchase"},
        ),
    ),
    "RetailRocket (Kaggle): CC BY-NC-SA 4.0.",
)
YOOCHOOSE = Bundle(
    "yoochoose",
    "YOOCHOOSE clicks and buys (RecSys Challenge 2015)",
    (
        log(
            "yoochoose-clicks.dat",
            header=False,
            names=("session", "time", "item", "category"),
            columns={"session": "session", "time": "time", "item": "item"},
            time={"format": "iso"},
            behaviour="click",
        ),
        log(
            "yoochoose-buys.dat",
            optional=True,
            header=False,
            names=("session", "time", "item", "price", "quantity"),
            columns={"session": "session", "time": "time", "item": "item", "value": "quantity"},
            time={"format": "iso"},
            behaviour="purchase",
        ),
    ),
    "Challenge data, listed as CC BY-NC-ND 4.0: non-commercial.",
)
SESSION_REC = Bundle(
    "session-rec",
    "Sessions as prepared by session-rec: SessionId, ItemId, Time",
    (
        log(
            "*train_full.txt",
            format="tsv",
            columns={"session": "SessionId", "item": "ItemId", "time": "Time"},
            time=SECONDS,
            behaviour="click",
        ),
        log(
            "*_test.txt",
            format="tsv",
            columns={"session": "SessionId", "item": "ItemId", "time": "Time"},
            time=SECONDS,
            behaviour="click",
        ),
    ),
    "Terms of the data that was prepared.",
)
LOGS = (RETAILROCKET, YOOCHOOSE, SESSION_REC)

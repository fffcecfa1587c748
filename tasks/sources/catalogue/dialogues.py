"""Conversations in which films are recommended."""

from dataclasses import dataclass

from tasks.queries import Stage
from tasks.sources.catalogue.bundle import Bundle, Part
from tasks.sources.catalogue.movielens import YEAR_PATTERN
from tasks.sources.registry import RawFile, text_lines

FILM_SEPARATOR = ";"


@dataclass(frozen=True, kw_only=True)
class InspiredDialogues(Stage):
    """Utterances."""

    file = "staging/inspired_dialogues.sql"
    table = "dialogues"
    separator: str = FILM_SEPARATOR


@dataclass(frozen=True, kw_only=True)
class InspiredItems(Stage):
    """Films that utterances name."""

    file = "staging/inspired_items.sql"
    table = "items"
    several = True
    separator: str = FILM_SEPARATOR
    year_pattern: str = YEAR_PATTERN


@dataclass(frozen=True, kw_only=True)
class UnicrsDialogues(Stage):
    """Utterances; the prefix tells the dialogues of one file from those of another."""

    file = "staging/unicrs_dialogues.sql"
    table = "dialogues"
    several = True
    prefix: str


@dataclass(frozen=True, kw_only=True)
class UnicrsItems(Stage):
    """Films that utterances name."""

    file = "staging/unicrs_items.sql"
    table = "items"
    several = True
    year_pattern: str = YEAR_PATTERN


@dataclass(frozen=True, kw_only=True)
class RedialDialogues(Stage):
    """Messages."""

    file = "staging/redial_dialogues.sql"
    table = "dialogues"
    several = True


@dataclass(frozen=True, kw_only=True)
class RedialItems(Stage):
    """Films that messages mention."""

    file = "staging/redial_items.sql"
    table = "items"
    several = True
    year_pattern: str = YEAR_PATTERN


INSPIRED_LICENCE = "No licence file; published for research, cite (Hayati et al. 2020)."
INSPIRED = Bundle(
    "inspired",
    "INSPIRED: sociable recommendation dialogues about films",
    tuple(
        Part(
            RawFile(name, "\t", ("dialog_id", "utt_id", "speaker", "text", "movies"), header=True),
            statement,
            optional=name == "train.tsv",
        )
        for name in ("train.tsv", "dev.tsv", "test.tsv")
        for statement in (InspiredDialogues(), InspiredItems())
    ),
    INSPIRED_LICENCE,
)
UNICRS = Bundle(
    "inspired-unicrs",
    "INSPIRED as prepared by UniCRS: utterances joined by speaker, films found by name",
    tuple(
        Part(text_lines(f"*{split}*.jsonl"), statement, optional=True)
        for split in ("train", "dev", "test")
        for statement in (UnicrsDialogues(prefix=f"{split}-"), UnicrsItems())
    ),
    INSPIRED_LICENCE,
)
REDIAL = Bundle(
    "redial",
    "ReDial: dialogues about films",
    tuple(
        Part(text_lines(name), statement, optional=True)
        for name in ("train_data.jsonl", "valid_data.jsonl", "test_data.jsonl")
        for statement in (RedialDialogues(), RedialItems())
    ),
    "ReDial (Li et al. 2018): CC BY 4.0.",
)
DIALOGUES = (INSPIRED, UNICRS, REDIAL)

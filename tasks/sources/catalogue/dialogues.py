"""Conversations in which films are recommended."""

from dataclasses import dataclass

from tasks.queries import Stage
from tasks.sources.catalogue.bundle import Bundle, Part
from tasks.sources.catalogue.movielens import YEAR_PATTERN
from tasks.sources.registry import RawFile, text_lines


@dataclass(frozen=True, kw_only=True)
class InspiredDialogues(Stage):
    """Utterances."""

    file = "staging/inspired_dialogues.sql"
    table = "dialogues"
    separator: str = ";"


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


INSPIRED = Bundle(
    "inspired",
    "INSPIRED: sociable recommendation dialogues about films",
    tuple(
        Part(
            RawFile(name, "\t", ("dialog_id", "utt_id", "speaker", "text", "movies"), header=True),
            InspiredDialogues(),
            optional=name == "train.tsv",
        )
        for name in ("train.tsv", "dev.tsv", "test.tsv")
    ),
    "No licence file; published for research, cite (Hayati et al. 2020).",
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
DIALOGUES = (INSPIRED, REDIAL)

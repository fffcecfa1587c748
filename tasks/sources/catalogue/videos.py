"""Short videos: KuaiRand's logs with many kinds of feedback, some of them randomly shown; KuaiRec's watch ratios."""

from dataclasses import dataclass

from tasks.queries import LATEST, YEAR_2000, Stage
from tasks.sources.catalogue.bundle import Bundle, Part
from tasks.sources.catalogue.lists import ListedCategories, ListedRelation
from tasks.sources.registry import RawFile

FLAGS = ("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view")
MOMENT = ("user_id", "video_id", "time_ms")


@dataclass(frozen=True, kw_only=True)
class KuaiRandEvents(Stage):
    """Views, and what else was done to the video; `label` stands for liked (1) or hated (0)."""

    file = "staging/kuairand_events.sql"
    table = "events"
    several = True
    labelled: bool = False
    earliest: int = YEAR_2000
    latest: int = LATEST


@dataclass(frozen=True, kw_only=True)
class KuaiRandSlates(Stage):
    """Videos shown at random, with clicks."""

    file = "staging/kuairand_slates.sql"
    table = "slates"
    earliest: int = YEAR_2000
    latest: int = LATEST


@dataclass(frozen=True, kw_only=True)
class KuaiRandVideos(Stage):
    """Authors, music and tags."""

    file = "staging/kuairand_videos.sql"
    table = "triples"
    several = True


@dataclass(frozen=True, kw_only=True)
class KuaiRecWatches(Stage):
    """Watch ratios."""

    file = "staging/kuairec_watches.sql"
    table = "events"
    earliest: int = YEAR_2000
    latest: int = LATEST


def kuairand_log(name: str, *, separator: str = ",", labelled: bool = False) -> RawFile:
    """A log of KuaiRand, or one whose `label` stands in place of liked and hated."""
    absent = ("is_like", "is_hate") if labelled else ("label",)
    return RawFile(name, separator, (*MOMENT, *FLAGS, "label"), header=True, quote='"', optional=absent)


KUAIRAND = Bundle(
    "kuairand",
    "KuaiRand: short videos of a policy's and of random choice, with many kinds of feedback",
    (
        *(
            Part(kuairand_log(name), KuaiRandEvents(), optional=True)
            for name in ("log_standard*.csv", "log_random*.csv")
        ),
        Part(
            RawFile("log_random*.csv", ",", (*MOMENT, "is_click", "is_rand"), header=True, quote='"'),
            KuaiRandSlates(),
            optional=True,
        ),
        Part(
            RawFile(
                "video_features_basic*.csv", ",", ("video_id", "author_id", "music_id", "tag"), header=True, quote='"'
            ),
            KuaiRandVideos(),
            optional=True,
        ),
    ),
    "KuaiRand (Gao et al. 2022): CC BY-SA 4.0.",
)
KUAIRAND_EXPLICIT = Bundle(
    "kuairand-explicit",
    "KuaiRand's liked and hated videos: selected, never unbiased",
    (
        Part(
            kuairand_log("log_standard_like_hate_kcore15.tsv", separator="\t", labelled=True),
            KuaiRandEvents(labelled=True),
        ),
    ),
    "KuaiRand (Gao et al. 2022): CC BY-SA 4.0.",
)
KUAIREC = Bundle(
    "kuairec",
    "KuaiRec: watch ratios of short videos, the small matrix fully observed",
    (
        *(
            Part(
                RawFile(
                    f"{size}_matrix.csv",
                    ",",
                    ("user_id", "video_id", "timestamp", "watch_ratio"),
                    header=True,
                    quote='"',
                ),
                KuaiRecWatches(),
                optional=True,
            )
            for size in ("big", "small")
        ),
        Part(
            RawFile(
                "item_categories.csv",
                ",",
                ("video_id", "feat"),
                header=True,
                quote='"',
                called=("item", "categories"),
            ),
            ListedCategories(item_column="video_id", categories_column="feat"),
            optional=True,
        ),
        Part(
            RawFile(
                "social_network.csv",
                ",",
                ("user_id", "friend_list"),
                header=True,
                quote='"',
                called=("head", "tails"),
            ),
            ListedRelation(relation_name="user.friend", kind="user", head_column="user_id", tails_column="friend_list"),
            optional=True,
        ),
    ),
    "KuaiRec (Gao et al. 2022): CC BY-SA 4.0.",
)
VIDEOS = (KUAIRAND, KUAIRAND_EXPLICIT, KUAIREC)

"""What was shown: Open Bandit's logs with propensities, trivago's lists; Diginetica, the rest of RetailRocket."""

from dataclasses import dataclass

from tasks.queries import EARLIEST, LATEST, YEAR_2000, Stage
from tasks.sources.catalogue.bundle import Bundle, Part
from tasks.sources.registry import RawFile

USER_FEATURES = tuple(f"user_feature_{place}" for place in range(4))
ITEM_FEATURES = tuple(f"item_feature_{place}" for place in range(4))
CAMPAIGNS, POLICIES = ("all", "men", "women"), ("random", "bts")
LONGEST_LIST = 1000  # items: trivago shows at most 25
LAST_OF_DAY = 86_399_999  # milliseconds after midnight
ITEM_ACTIONS = (
    "clickout item", "interaction item deals", "interaction item image", "interaction item info",
    "interaction item rating", "search for item",
)  # fmt: skip
OTHER_ACTIONS = ("change of sort order", "filter selection", "search for destination", "search for poi")
"""All that trivago logs. Source: RecSys Challenge 2019, description of the data."""


@dataclass(frozen=True, kw_only=True)
class OpenBanditLog(Stage):
    """Shown items with clicks and propensities."""

    file = "staging/open_bandit_log.sql"
    table = "slates"
    policy: str
    campaign: str
    earliest: int = EARLIEST
    latest: int = LATEST


@dataclass(frozen=True, kw_only=True)
class OpenBanditItems(Stage):
    """Features of items."""

    file = "staging/open_bandit_items.sql"
    table = "triples"
    several = True


@dataclass(frozen=True, kw_only=True)
class TrivagoEvents(Stage):
    """Actions on hotels."""

    file = "staging/trivago_events.sql"
    table = "events"
    item_actions: tuple[str, ...] = ITEM_ACTIONS
    other_actions: tuple[str, ...] = OTHER_ACTIONS
    earliest: int = EARLIEST
    latest: int = LATEST


@dataclass(frozen=True, kw_only=True)
class TrivagoSlates(Stage):
    """Lists from which somebody clicked out."""

    file = "staging/trivago_slates.sql"
    table = "slates"
    several = True
    longest: int = LONGEST_LIST
    earliest: int = EARLIEST
    latest: int = LATEST


@dataclass(frozen=True, kw_only=True)
class TrivagoItems(Stage):
    """Properties of hotels."""

    file = "staging/trivago_items.sql"
    table = "triples"
    several = True


@dataclass(frozen=True, kw_only=True)
class DigineticaEvents(Stage):
    """Views or purchases, whose files call the columns of session and item differently."""

    file = "staging/diginetica_events.sql"
    table = "events"
    behaviour: str
    session_column: str
    item_column: str
    last_of_day: int = LAST_OF_DAY
    earliest: int = EARLIEST
    latest: int = LATEST


@dataclass(frozen=True, kw_only=True)
class ItemCategory(Stage):
    """The category of an item, or of a category."""

    file = "staging/item_category.sql"
    table = "triples"
    head_column: str
    category_column: str
    relation: str = "item.category"
    head_kind: str = "item"


@dataclass(frozen=True, kw_only=True)
class RetailRocketProperties(Stage):
    """Properties of items, each from a moment on."""

    file = "staging/retailrocket_properties.sql"
    table = "triples"
    earliest: int = YEAR_2000
    latest: int = LATEST


def open_bandit(policy: str, campaign: str) -> Bundle:
    """One log of Open Bandit: a policy on a campaign."""
    log = RawFile(
        f"{policy}/{campaign}/{campaign}.csv",
        ",",
        ("", "timestamp", "item_id", "position", "click", "propensity_score", *USER_FEATURES),
        header=True,
        quote='"',
        called=("row_index", "timestamp", "item_id", "position", "click", "propensity_score", *USER_FEATURES),
    )
    items = RawFile(f"{policy}/{campaign}/item_context.csv", ",", ("item_id", *ITEM_FEATURES), header=True, quote='"')
    return Bundle(
        f"open-bandit-{policy}-{campaign}",
        f"Open Bandit: the {policy} policy on the campaign {campaign}",
        (Part(log, OpenBanditLog(policy=policy, campaign=campaign)), Part(items, OpenBanditItems(), optional=True)),
        "Open Bandit Dataset (ZOZO): CC BY 4.0.",
    )


TRIVAGO_LOG = RawFile(
    "t*.csv",  # train.csv, test.csv; not item_metadata.csv
    ",",
    ("user_id", "session_id", "timestamp", "step", "action_type", "reference", "impressions"),
    header=True,
    quote='"',
)
TRIVAGO = Bundle(
    "trivago",
    "trivago RecSys Challenge 2019: actions, the lists behind clickouts, and what the hotels have",
    (
        Part(TRIVAGO_LOG, TrivagoEvents()),
        Part(TRIVAGO_LOG, TrivagoSlates()),
        Part(
            RawFile("item_metadata.csv", ",", ("item_id", "properties"), header=True, quote='"'),
            TrivagoItems(),
            optional=True,
        ),
    ),
    "Challenge terms, research use; no redistribution licence.",
)
DIGINETICA = Bundle(
    "diginetica",
    "Diginetica: item views, purchases and categories (CIKM Cup 2016)",
    (
        Part(
            RawFile(
                "*train-item-views.csv",
                ";",
                ("session_id", "user_id", "item_id", "timeframe", "eventdate"),
                header=True,
                called=("session_id", "user_id", "item_id", "timeframe", "eventdate"),
            ),
            DigineticaEvents(behaviour="view", session_column="session_id", item_column="item_id"),
        ),
        Part(
            RawFile(
                "train-purchases.csv",
                ";",
                ("sessionId", "userId", "itemId", "timeframe", "eventdate"),
                header=True,
                called=("session_id", "user_id", "item_id", "timeframe", "eventdate"),
            ),
            DigineticaEvents(behaviour="purchase", session_column="sessionId", item_column="itemId"),
            optional=True,
        ),
        Part(
            RawFile(
                "product-categories.csv",
                ";",
                ("itemId", "categoryId"),
                header=True,
                called=("head", "category"),
            ),
            ItemCategory(head_column="itemId", category_column="categoryId"),
            optional=True,
        ),
    ),
    "Competition data, research use; no redistribution terms granted.",
)
RETAILROCKET_PARTS = (
    Part(
        RawFile(
            "item_properties_part*.csv",
            ",",
            ("timestamp", "itemid", "property", "value"),
            header=True,
            quote='"',
            called=("timestamp", "item_id", "property", "value"),
        ),
        RetailRocketProperties(),
        optional=True,
    ),
    Part(
        RawFile(
            "category_tree.csv",
            ",",
            ("categoryid", "parentid"),
            header=True,
            called=("head", "category"),
        ),
        ItemCategory(
            head_column="categoryid", category_column="parentid", relation="category.parent", head_kind="entity"
        ),
        optional=True,
    ),
)
IMPRESSIONS = (*(open_bandit(policy, campaign) for policy in POLICIES for campaign in CAMPAIGNS), TRIVAGO, DIGINETICA)

"""What was shown: Open Bandit's logs with propensities, trivago's lists; Diginetica, the rest of RetailRocket."""

from dataclasses import dataclass

from tasks.queries import EARLIEST, LATEST, YEAR_2000, Stage
from tasks.sources.catalogue.bundle import Bundle, Collection, Part
from tasks.sources.registry import RawFile

USER_FEATURES = tuple(f"user_feature_{place}" for place in range(4))
ITEM_FEATURES = tuple(f"item_feature_{place}" for place in range(4))
UNIFORM, BTS = "random", "bts"
CAMPAIGNS, POLICIES = ("all", "men", "women"), (UNIFORM, BTS)
LONGEST_LIST = 1000  # items: trivago shows at most 25
LAST_OF_DAY = 86_399_999  # milliseconds after midnight
ITEM_ACTIONS = (
    "clickout item", "interaction item deals", "interaction item image", "interaction item info",
    "interaction item rating", "search for item",
)  # fmt: skip
OPEN_BANDIT_LICENCE = (
    "Open Bandit Dataset, ZOZO, Inc., licensed under CC BY 4.0 (creativecommons.org/licenses/by/4.0): name the source, "
    "Saito et al. 2021, doi:10.48550/arXiv.2008.07146. The small logs come inside Open Bandit Pipeline, Apache-2.0."
)
PRIORS = "prior_bts.yaml"
"""Beta beliefs of Bernoulli Thompson sampling at the start of the logs, by campaign. Source: Open Bandit Pipeline."""
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
        OPEN_BANDIT_LICENCE,
    )


OPEN_BANDIT_LOGS = {(policy, campaign): open_bandit(policy, campaign) for policy in POLICIES for campaign in CAMPAIGNS}
OPEN_BANDIT = Collection(
    "open-bandit",
    "Open Bandit, the small logs: 10,000 shown items of each policy on each campaign, Thompson sampling's priors",
    tuple(OPEN_BANDIT_LOGS.values()),
    "obp==0.5.7",
    {
        "random/all/all.csv": "7168295b6e0a9eabcf3392320a5dd434e542b68e705d5cd9491499af589812f1",
        "random/all/item_context.csv": "eba04cc23d5f130a93ff174c5392986882b94c3839433cb8143870eaa6221358",
        "random/men/men.csv": "ede6d08c6877f99cd3770f7d09e26c738e6aa6de4445ccccfb1356ba5d06b1eb",
        "random/men/item_context.csv": "6d855c2b7e917d0448d71bbe62c023147495882c0fdc8c41e86fef86abf9fe09",
        "random/women/women.csv": "e65f3bd3beb17664fa69cc129bf7bf852a775f8ffa630506e505fc905315bb34",
        "random/women/item_context.csv": "b1ca4905f97703d196004f2ad4552c1e90c2afad8b50688d333b0d2dc0b33147",
        "bts/all/all.csv": "0ad874e4dbf6902f0845dd478ad8dde5ef6903583d3ffaace78411bdad064106",
        "bts/all/item_context.csv": "5d4359ba1cfa3ae88f0f1bae66bd633859fe6323817183632ee57b83539d9153",
        "bts/men/men.csv": "db6d1f7ed2d591ba521533e45286d4c1fba7fe57a8ad2e80342210335f43c527",
        "bts/men/item_context.csv": "3b411ed6b0471316321a6b93f4f756bb25888eac6218cd71d0b603d41d85732d",
        "bts/women/women.csv": "e5d1b49a39b608585a2f3014a3f54970430cd37a495c1b73fceb85cdf428a5b8",
        "bts/women/item_context.csv": "a56295bad066a558eb783055afd9279f5f4e209a4776eafc22151c53f0ac89d4",
        PRIORS: "81a54fbdc184021ccc62ab97de81ec35461c032e3d7f99ccaa0a9745f732d251",
        "LICENSE": "6bc32ef299d465f98043edc6e487a6e72a69600f3a2144f4e69be8f1b36be9f7",
        "README.md": "42047d3b5f697e440751dc7a13e83ccbb152737be6153042ec5dfeddd8cdaedd",
    },
    OPEN_BANDIT_LICENCE,
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
IMPRESSIONS = (*OPEN_BANDIT.bundles, TRIVAGO, DIGINETICA)

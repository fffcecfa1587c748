"""BUNDLES: every public source that is read from a folder of the user's, by name; COLLECTIONS of them."""

from dataclasses import replace

from tasks.sources.catalogue.bundle import Bundle, Collection
from tasks.sources.catalogue.checkins import CHECKINS
from tasks.sources.catalogue.dialogues import DIALOGUES
from tasks.sources.catalogue.impressions import IMPRESSIONS, OPEN_BANDIT, RETAILROCKET_PARTS
from tasks.sources.catalogue.knowledge import KNOWLEDGE
from tasks.sources.catalogue.lists import LISTS
from tasks.sources.catalogue.logs import LOGS, RETAILROCKET
from tasks.sources.catalogue.movielens import MOVIELENS
from tasks.sources.catalogue.reviews import REVIEWS
from tasks.sources.catalogue.videos import VIDEOS

WHOLE_RETAILROCKET = replace(RETAILROCKET, parts=(*RETAILROCKET.parts, *RETAILROCKET_PARTS))
BUNDLES: dict[str, Bundle] = {
    bundle.name: bundle
    for bundle in (
        *MOVIELENS, *LISTS, *KNOWLEDGE, *LOGS, *REVIEWS, *VIDEOS, *CHECKINS, *IMPRESSIONS, *DIALOGUES,
        WHOLE_RETAILROCKET,
    )
}  # fmt: skip
COLLECTIONS: dict[str, Collection] = {OPEN_BANDIT.name: OPEN_BANDIT}

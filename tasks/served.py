"""A registered policy as it decides: its actor over stored contexts, and what its reward model expects."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from rlrec.batches import Contexts
from rlrec.encoders.candidate_scorer import CandidateScorer
from rlrec.errors import InputError
from rlrec.ops.slates import plackett_luce_marginals
from rlrec.policies.plackett_luce import NEVER
from tasks import ranker
from tasks.learn import Shown, actor_scores, shown
from tasks.promote import fetch

Moment = Literal["deployed", "serving"]
FILES: dict[Moment, str] = {"deployed": ranker.DEPLOYED, "serving": ranker.SERVING}
NO_MODEL = "DR: the registered version carries no predictions of a reward model"
OF_MODEL = "predictions are those of the reward model registered with the policy, fitted on its training log"


@dataclass(frozen=True, eq=False)
class Served:
    """One version in the registry. `users` and `items` are external ids by dense id, as the policy knows them."""

    name: str
    actor: CandidateScorer
    temperature: float
    contexts: Contexts
    q_hat: Tensor | None
    users: Sequence[str]
    items: Sequence[str]

    @staticmethod
    def of(model: str, moment: Moment, scratch: Path) -> "Served":
        """`NAME@alias` or `NAME/version`, with the contexts of a moment; its files are put into `scratch`.

        Raises:
            InputError: there is no such version, or it was registered before versions carried those contexts.
        """
        name, folder = fetch(model, scratch)
        if not (folder / FILES[moment]).exists():
            raise InputError(
                f"the registered version {name} carries no contexts of {moment}",
                remedy="register the policy again (`rlrec run`), or judge it on its deployed contexts",
            )
        facts = ranker.facts_of(folder)
        contexts, q_hat = ranker.contexts_of(folder / FILES[moment])
        actor = ranker.actor_of(folder)
        return Served(name, actor, facts["temperature"], contexts, q_hat, facts["users"], facts["items"])

    @cached_property
    def rows(self) -> dict[str, int]:
        """Where each user's context stands, by external id."""
        return {self.users[int(user)]: row for row, user in enumerate(self.contexts.user.tolist())}

    @property
    def note(self) -> str:
        """What its estimates rest on."""
        return NO_MODEL if self.q_hat is None else OF_MODEL

    def shown(
        self, rows: Tensor, k: int, prefixes: int, generator: torch.Generator, context: Tensor, items: Tensor,
        position: Tensor,
    ) -> Shown:  # fmt: skip
        """What the policy makes of R shown items, as [R, 1]; `context` counts within the context `rows` of the users.

        Its position marginals average over sampled `prefixes`, drawn for one user after the other.
        """
        candidates = self.contexts.candidates[rows]
        part = Contexts(self.contexts.user[rows], candidates, self.contexts.base[rows], self.contexts.features[rows])
        logits = (actor_scores(self.actor, part) / self.temperature).masked_fill(candidates == 0, NEVER)
        marginals = plackett_luce_marginals(logits, k, prefixes, generator)
        q_hat = None if self.q_hat is None else self.q_hat[rows]
        return shown(marginals, candidates, q_hat, context, items.unsqueeze(1), position.unsqueeze(1))

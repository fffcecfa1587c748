"""The served policy as an MLflow model, by code and safetensors: nothing is unpickled when it is loaded."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from safetensors.torch import load_file
from torch import Tensor

from rlrec.batches import Contexts
from rlrec.encoders.candidate_scorer import CandidateScorer, ContextScorer
from rlrec.ops.slates import greedy_top_k
from rlrec.policies.plackett_luce import PlackettLuce

DEPLOYED = "contexts.safetensors"  # as of the end of the data: what is ranked
SERVING = "serving.safetensors"  # as of the logs that the policy learned from and is evaluated on


class SlateRanker(PythonModel):
    """Users in, ranked items out: the actor over each user's stored candidates and features."""

    def load_context(self, context: Any) -> None:
        """Read the actor, the contexts and the vocabularies."""
        folder = Path(context.artifacts["policy"])
        facts = facts_of(folder)
        self.contexts, _ = contexts_of(folder / DEPLOYED)
        self.scorer = ContextScorer(actor_of(folder), self.contexts)
        eligible = torch.ones(len(facts["items"]), dtype=torch.bool)
        eligible[0] = False
        self.policy = PlackettLuce(self.scorer, facts["temperature"], eligible)
        self.items: list[str] = facts["items"]
        self.titles: list[str] = facts["titles"]
        self.users = {name: number for number, name in enumerate(facts["users"]) if number}

    @torch.no_grad()
    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002 - MLflow's interface
        """A row for each (user, rank): item, title, score, and π of the item at its rank given what stands above it.

        Raises:
            ValueError: a user is unknown, or the column `user` is missing.
        """
        k = int((params or {}).get("k", 10))
        if "user" not in model_input:
            raise ValueError("the input needs a column `user` with the ids of the log that the policy was trained on")
        wanted = [str(user) for user in model_input["user"]]
        unknown = [user for user in wanted if user not in self.users]
        if unknown:
            raise ValueError(f"{len(unknown)} unknown users, the first: {', '.join(unknown[:5])}")
        state = self.scorer.state(torch.tensor([self.users[user] for user in wanted]))
        candidates = self.policy.candidates(state)
        if k > candidates.shape[1]:
            raise ValueError(f"k is {k}, but there are {candidates.shape[1]} candidates a user")
        scores = self.scorer.scores(state)
        places = greedy_top_k(scores, k)
        slate = candidates.gather(1, places)
        chance = self.policy.log_prob(state, slate.unsqueeze(1)).squeeze(1).exp()
        chosen = slate.reshape(-1).tolist()
        return pd.DataFrame(
            {
                "user": [user for user in wanted for _ in range(k)],
                "rank": list(range(1, k + 1)) * len(wanted),
                "item": [self.items[item] for item in chosen],
                "title": [self.titles[item] for item in chosen],
                "score": scores.gather(1, places).reshape(-1).double().tolist(),
                "propensity": chance.reshape(-1).double().tolist(),
            }
        )


def facts_of(folder: Path) -> dict[str, Any]:
    """Hidden width, layers, temperature, and the external ids behind the dense ones."""
    return json.loads((folder / "policy.json").read_text(encoding="utf-8"))


def contexts_of(file: Path) -> tuple[Contexts, Tensor | None]:
    """Stored contexts, and the reward model's prediction [N, C] of each candidate where the version carries one."""
    tensors = load_file(file)
    q_hat = tensors.pop("q_hat", None)
    return Contexts(**tensors), q_hat


def actor_of(folder: Path) -> CandidateScorer:
    """The trained actor."""
    facts, weights = facts_of(folder), load_file(folder / "actor.safetensors")
    actor = CandidateScorer(len(weights["centre"]), facts["hidden"], facts["layers"], torch.Generator())
    actor.load_state_dict(weights)
    return actor.eval()


set_model(SlateRanker())

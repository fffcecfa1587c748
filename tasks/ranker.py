"""The served policy as an MLflow model, by code and safetensors: nothing is unpickled when it is loaded."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from safetensors.torch import load_file

from rlrec.batches import Contexts
from rlrec.encoders.candidate_scorer import CandidateScorer, ContextScorer
from rlrec.ops.slates import greedy_top_k
from rlrec.policies.plackett_luce import PlackettLuce


class SlateRanker(PythonModel):
    """Users in, ranked items out: the actor over each user's stored candidates and features."""

    def load_context(self, context: Any) -> None:
        """Read the actor, the contexts and the vocabularies."""
        folder = Path(context.artifacts["policy"])
        facts = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "contexts.safetensors")
        actor = CandidateScorer(tensors["features"].shape[2], facts["hidden"], facts["layers"], torch.Generator())
        actor.load_state_dict(load_file(folder / "actor.safetensors"))
        self.contexts = Contexts(**tensors)
        self.scorer = ContextScorer(actor.eval(), self.contexts)
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


set_model(SlateRanker())

"""Small worlds whose truth is a formula."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from rlrec.ope.rounds import Rounds


@dataclass(frozen=True)
class Bandit:
    """Bernoulli rewards: logging and target probabilities and mean rewards, `[X, A]`, contexts equally likely."""

    logging: np.ndarray
    target: np.ndarray
    mean: np.ndarray

    @property
    def value(self) -> float:
        """What the target policy earns."""
        return float((self.target * self.mean).sum(axis=1).mean())

    def sample(self, count: int, generator: np.random.Generator, *, model: np.ndarray | None = None, **given) -> Rounds:
        """A log of `count` rows."""
        context = generator.integers(len(self.mean), size=count)
        depth = self.logging.cumsum(axis=1)[context]
        action = np.minimum((generator.random(count)[:, None] > depth).sum(axis=1), self.mean.shape[1] - 1)
        reward = (generator.random(count) < self.mean[context, action]).astype(float)
        return self.rounds(context, action, reward, model, **given)

    def exact(self, rows: int, *, model: np.ndarray | None = None, **given) -> Rounds:
        """Shares equal to the logging probabilities (multiples of 1/rows), rewards equal to their means."""
        counts = np.rint(self.logging * rows).astype(int)
        context, action = (np.repeat(index.reshape(-1), counts.reshape(-1)) for index in np.indices(self.logging.shape))
        return self.rounds(context, action, self.mean[context, action], model, **given)

    def rounds(self, context, action, reward, model, **given) -> Rounds:
        """These rows, with predictions if there is a model."""
        extra = {}
        if model is not None:
            extra = {
                "q_hat": model[context, action],
                "q_hat_target": (self.target * model).sum(axis=1)[context],
            }
        return Rounds.of(reward, self.logging[context, action], self.target[context, action], **extra, **given)


TWO_CONTEXTS = Bandit(
    logging=np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]]),
    target=np.array([[0.2, 0.3, 0.5], [0.5, 0.1, 0.4]]),
    mean=np.array([[0.2, 0.5, 0.7], [0.6, 0.3, 0.4]]),
)


def random_bandit(generator: np.random.Generator, *, parts: int = 40, supported: bool = False) -> Bandit:
    """Two contexts, four actions, logging probabilities in steps of 1/parts; some may be 0 where the target is not."""
    least = 1 if supported else 0
    logging = least + generator.multinomial(parts - 4 * least, generator.dirichlet(np.full(4, 0.7), size=2))
    target = generator.dirichlet(np.full(4, 0.5), size=2)
    return Bandit(logging / parts, target, generator.uniform(0, 1, (2, 4)))


@dataclass(frozen=True)
class Slates:
    """All ordered slates of K from C items, their Plackett-Luce probabilities, and position marginals `[C, K]`."""

    slates: np.ndarray
    probability: np.ndarray
    marginal: np.ndarray

    @staticmethod
    def plackett_luce(score: np.ndarray, k: int) -> "Slates":
        """Exact by enumeration."""
        slates = np.array(list(permutations(range(len(score)), k)))
        weight = np.exp(score)
        probability = np.ones(len(slates))
        left = np.full(len(slates), weight.sum())
        for position in range(k):
            chosen = weight[slates[:, position]]
            probability *= chosen / left
            left -= chosen
        marginal = np.zeros((len(score), k))
        for position in range(k):
            np.add.at(marginal[:, position], slates[:, position], probability)
        return Slates(slates, probability, marginal)

"""Off-policy evaluation: estimators, intervals, diagnostics, verdict. Knows no torch and no algorithm."""

from rlrec.ope.evaluation import Evaluation, evaluate
from rlrec.ope.rounds import Rounds

__all__ = ["Evaluation", "Rounds", "evaluate"]

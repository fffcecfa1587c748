"""`obp` on a log that `benchmarks.ope` wrote; it runs in an environment of its own, without rlrec.

`python -m benchmarks.ope_peer FILE REPLICATES` prints JSON: by estimator its value and the CPU seconds of a point and
of a bootstrap interval; CPU seconds of the import, and peak memory in GB.
"""

import json
import resource
import sys
import time
from typing import Any

NAMES = ("ips", "snips", "dm", "dr")


def measured(file: str, replicates: int) -> dict[str, Any]:
    """What the first lines promise."""
    import numpy as np

    start = time.process_time()
    from obp import ope  # pyright: ignore[reportMissingImports]  # of the peer's environment

    found: dict[str, Any] = {"import": time.process_time() - start}
    with np.load(file) as log:
        reward, propensity, action, tables = (log[name] for name in ("reward", "propensity", "action", "tables"))
    target, model = (np.tile(row[:, None], (len(reward), 1, 1)) for row in tables)
    columns = {"reward": reward, "action": action, "action_dist": target, "position": np.zeros(len(reward), int)}
    columns |= {"pscore": propensity, "estimated_rewards_by_reg_model": model}
    estimators = (
        ope.InverseProbabilityWeighting(),
        ope.SelfNormalizedInverseProbabilityWeighting(),
        ope.DirectMethod(),
        ope.DoublyRobust(),
    )
    for name, estimator in zip(NAMES, estimators, strict=True):
        start = time.process_time()
        value = estimator.estimate_policy_value(**columns)
        middle = time.process_time()
        estimator.estimate_interval(**columns, n_bootstrap_samples=replicates, random_state=0)
        found[name] = float(value), middle - start, time.process_time() - middle
    return found | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]))))

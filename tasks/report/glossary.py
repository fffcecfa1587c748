"""Glossary: every metric, estimator and column of the report, with a title and one line that explains it."""

HIGHER, LOWER, NEITHER = 1, -1, 0

METRICS = {  # family: (title, which way is better, explanation)
    "recall": ("Recall", HIGHER, "Share of a user's held-out items found in the first K recommendations."),
    "precision": ("Precision", HIGHER, "Share of the first K recommendations that are held-out items of the user."),
    "hr": ("Hit ratio", HIGHER, "Share of users with at least one held-out item in the first K."),
    "ndcg": ("NDCG", HIGHER, "Like recall, but early places count more: gain 1/log2(place + 1), ideal order 1."),
    "coverage": ("Coverage", HIGHER, "Share of the catalogue recommended to at least one user."),
    "gini": ("Gini", LOWER, "How unevenly recommendations fall on items: 0 is even, 1 is all on one item."),
    "popularity": ("Mean popularity", NEITHER, "Mean count of training events of the recommended items."),
    "tail_share": ("Tail share", HIGHER, "Share of recommendations that are rarely seen items."),
    "novelty": ("Novelty", HIGHER, "Mean surprise of the recommended items, in bits of how rarely each is seen."),
    "diversity": (
        "Diversity",
        HIGHER,
        "How different the items of one list are from each other: 1 minus mean similarity.",
    ),
    "value": ("Clicks per slate", HIGHER, "Expected clicks on one shown list of K items, the best-scored one."),
    "value_sampled": ("Clicks per sampled slate", HIGHER, "The same for lists drawn from the policy's distribution."),
}
ALIASES = {
    **dict.fromkeys(("hit", "hit_rate", "hit_ratio"), "hr"),
    **dict.fromkeys(("average_popularity", "mean_popularity", "arp"), "popularity"),
    **dict.fromkeys(("tail", "long_tail"), "tail_share"),
    **dict.fromkeys(("true_value", "clicks", "expected_clicks"), "value"),
    **dict.fromkeys(("intra_list_diversity", "ild"), "diversity"),
    "catalogue_coverage": "coverage",
}
ESTIMATORS = {
    "ips": ("IPS", "Inverse propensity scoring: logged clicks, reweighted to how often the policy would show them."),
    "snips": ("SNIPS", "Self-normalised IPS: divided by the mean weight; steadier, slightly biased."),
    "dr": ("DR", "Doubly robust: a reward model corrected by reweighted clicks; right if either part is."),
    "sndr": ("SNDR", "Self-normalised DR."),
    "cressie_read": ("Cressie-Read", "The most likely value given that weights average to 1; asymmetric interval."),
    "dm": ("DM", "Direct method: the reward model alone; its bias is not controlled."),
}
FAMILIES = {  # of weight transforms: how each is called, and what it makes of a weight w
    "clip": ("Clip", "min(w, λ)"),
    "switch": ("Switch", "w up to λ, else 0"),
    "os": ("Shrinkage", "λw/(w² + λ)"),
    "sg": ("Sub-Gaussian", "w/(1 − λ + λw)"),
    "power": ("Power", "w^λ"),
}
CURVE_LINES = {  # columns of a weight-vs-bias curve that are drawn against λ: name and dash
    "bias_bound": ("bias bound", "solid"),
    "se": ("standard error", "dash"),
    "bias_plugin": ("shift on this log", "dashdot"),
    "true_bias": ("true bias", "dot"),
}
RULES_OF_CHOICE = {  # of λ: name and dash
    "mse_bound": ("MSE bound", "dash"),
    "slope": ("SLOPE", "dot"),
    "slope_plus_plus": ("SLOPE++", "dashdot"),
}
RULE_NOTES = {  # of the verdict: what a broken rule means, and what to do about it
    "effective_sample_size": (
        "So few equally weighted rows carry the answer.",
        "Log more, or judge a policy closer to the one that logged.",
    ),
    "effective_share": (
        "The two policies are far apart.",
        "Let what serves explore more of what the policy would show; `--plan` says how much.",
    ),
    "max_row_share": ("One row decides.", "Look at the heaviest row: is its propensity right? Then log more."),
    "max_cluster_share": ("One user decides.", "Look at the heaviest user: a robot? Then log more users."),
    "missing_mass_low": (
        "For certain, the policy shows what the log never showed.",
        "Keep the policy to what could have been shown, or let what serves explore the rest.",
    ),
    "mean_weight_z": (
        "Weights must average to 1, and do not: a probability is wrong, or support is missing.",
        "Check both probabilities: of the shown item, at its position, at the moment of serving.",
    ),
    "mean_weight_gap": (
        "Weights must average to 1, and are away from it.",
        "Check both probabilities: of the shown item, at its position, at the moment of serving.",
    ),
    "k_hat": (
        "The tail of the weights is so heavy that the standard error is unreliable.",
        "Read the Cressie-Read interval, or a guaranteed one: `--interval truncated`, `--interval betting`.",
    ),
    "variance_ratio": (
        "The reward model adds noise instead of removing it.",
        "Read SNIPS in place of DR, or improve the predictions.",
    ),
    "propensity_estimated": (
        "The intervals leave out the error of estimated propensities.",
        "Log the propensity at the moment of serving, from the softmax that drew the item.",
    ),
    "decision_changes": (
        "One λ of the curve says better, another worse, both beyond their intervals.",
        "Look at the curve: the answer hangs on how much is trusted to the heaviest weights.",
    ),
}
INTERVALS = {  # how each is called, and what it is
    "student": ("Student", "Value ± t standard errors over users, for means."),
    "delta": ("Delta", "The same for ratios: the noise of the mean weight is part of it."),
    "bootstrap_percentile": ("Bootstrap percentile", "Users resampled, every estimate recomputed whole."),
    "cressie_read": ("Cressie-Read", "Users reweighted until weights average to 1; asymmetric, inside the rewards."),
    "hoeffding": ("Hoeffding", "From the declared ranges alone; wide."),
    "empirical_bernstein": ("Empirical Bernstein", "From the declared ranges and the variance met."),
    "truncated": ("Truncated", "Weights cut at a cap that other users chose; needs no largest weight."),
    "confidence_sequence": ("Confidence sequence", "May be looked at every day while the log grows."),
    "betting": ("Betting", "The same at every size of the log, from a game that is fair only at the true value."),
}
VALIDITY = {
    "asymptotic": "Right for large samples of users.",
    "finite": "Guaranteed at any size of the log, from the declared ranges.",
    "anytime": "Guaranteed at every look at once, while the log grows.",
}
VERDICTS = {"trust": "trust", "caution": "caution", "no_support": "no support"}
RULES = {  # of the verdict, by the names that off-policy evaluation gives them
    "effective_sample_size": "effective sample size",
    "effective_share": "effective sample size as a share of all rows",
    "max_row_share": "share of all weight on one row",
    "max_cluster_share": "share of all weight on one user",
    "missing_mass_low": "share of the policy that the log never shows",
    "mean_weight_z": "distance of the mean weight from 1, in standard errors",
    "mean_weight_gap": "distance of the mean weight from 1",
    "k_hat": "tail index of the weights (k-hat)",
    "variance_ratio": "variance of DR over that of IPS",
    "propensity_estimated": "propensities were estimated, not recorded",
    "decision_changes": "the decision changes along the weight-vs-bias curve",
}
COLUMNS = {
    "Fitted on": "What a policy has seen. RL sees “train + clicks”: the best of that group is the row to beat.",
    "Interval": "The smaller range below a figure: what the data still allow at the stated level.",
    "True value": "Expected clicks per slate under the simulator's known probabilities. Unknown in real traffic.",
    "Greedy, sampled": "Greedy always shows the best-scored slate (as deployed); sampled draws slates (as estimated).",
    "ESS": "Effective sample size: how many equally weighted rows the reweighted log is worth, and their share.",
    "Largest weight": "The heaviest single row. A few heavy rows make an estimate fragile.",
    "Verdict": "trust: every check passed. caution: read the failed rule. no support: the log cannot answer.",
    "Difference": "Policy minus reference on the same users (paired bootstrap over users).",
    "λ": "How far weights may go. At one end little noise and more bias; at the other weights are untouched.",
    "Bias bound": "The most that bending the weights can have shifted the estimate, judged from the data alone.",
    "Shift on this log": "The estimate with bent weights minus that with untouched ones: close to the bias, but noisy.",
    "MSE bound, SLOPE, SLOPE++": "Rules that choose λ: least variance + bias bound²; the last λ whose "
    "interval meets those of all stronger ones, or, stricter, whose value stays near theirs.",
    "KL": "How far the fine-tuned policy has moved from its pretrained reference.",
    "Entropy": "How spread out the policy's choices are; at 0 it always shows the same slate.",
    "Degenerate groups": "Share of sampled groups whose slates all earn the same reward: they teach nothing.",
    "Clip share": "Share of importance ratios held back by the clip.",
}

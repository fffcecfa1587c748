"""Palette: one colour per policy label and one symbol per information or estimator, the same in every figure.

Colours of Okabe and Ito (2008), "Color Universal Design", without black and yellow and with darker orange and sky blue,
so that each keeps a contrast of about 3 to 1 on white and on near-black. Colour never stands alone: symbols and labels
repeat what it says.
"""

from tasks.report.results import Results

COLOURS = ("#0072b2", "#b87a00", "#009e73", "#b5659a", "#3d94c9", "#8a6fd1", "#6b8e23")
NEUTRAL = "#7f7f7f"
LEARNED = "#d55e00"  # vermillion, kept for the policy that the report is about
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
ESTIMATOR_SYMBOLS = {"ips": "circle", "snips": "square", "dr": "diamond", "sndr": "triangle-up", "dm": "x"}
MARKERS = {"circle": "o", "diamond": "D", "square": "s", "triangle-up": "^", "x": "X"}  # matplotlib's names
STROKES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3))}


def colours(results: Results) -> dict[str, str]:
    """The colour of each policy id: by label, so that one method fitted on different data keeps its colour."""
    headline = results.summary.headline
    learned = results.described.get(headline.policy, (headline.policy, None))[0] if headline else None
    labels = list(dict.fromkeys(label for label, _ in results.described.values() if label != learned))
    hue = {label: COLOURS[place % len(COLOURS)] for place, label in enumerate(labels)}
    return {policy: hue.get(label, LEARNED) for policy, (label, _) in results.described.items()}


def symbols(results: Results) -> dict[str, str]:
    """The symbol of each policy id: by what it was fitted on."""
    kinds = list(dict.fromkeys(fitted_on for _, fitted_on in results.described.values()))
    return {p: SYMBOLS[kinds.index(fitted_on) % len(SYMBOLS)] for p, (_, fitted_on) in results.described.items()}


def symbol_of(estimator: str) -> str:
    """The symbol of an estimator."""
    return ESTIMATOR_SYMBOLS.get(estimator, "x")

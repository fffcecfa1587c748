"""Off-policy evaluation: estimators, intervals, diagnostics, verdict. Knows no torch and no algorithm."""

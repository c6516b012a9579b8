"""Bounds that several places hold to."""

from datetime import timedelta

MOST_SHARES = 60_000
"""Probabilities in one HTTP reply, rows × classes: with their classes' names they stay within the 6 MB that a Lambda
may answer."""
LONGEST_RUN = timedelta(hours=2)
"""The pipeline's own timeout: a run that is older and still running was ended from outside."""

"""The two-sample tests of drift, on numpy alone, with p-values that hold far out in the tail, as Holm needs."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
MIN_EXPECTED = 10.0
"""Twice the usual 5, which is meant for p = 0.05: at 0.0001 it rejected three times too often (100 rows)."""


class Comparison(NamedTuple):
    statistic: float
    effect: float
    p: float


def kolmogorov_p(distance: float, n: int, m: int) -> float:
    """P(K-S distance of n against m rows of one continuous distribution >= distance); less under ties.

    Kolmogorov's series with Stephens' (1970) correction of its argument for few rows.
    """
    root = math.sqrt(n * m / (n + m))
    x = (root + 0.12 + 0.11 / root) * distance
    if x < 0.3:  # the alternating series needs many terms here, and its sum is 1 to five digits
        return 1.0
    most = 1 + math.isqrt(int(1 + 20 / (x * x)))  # beyond, a term is below e^-40 of the first
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, most + 1))
    return min(1.0, max(0.0, math.fsum(terms)))


def chi_square_p(statistic: float, freedom: int) -> float:
    """P(chi-square with so many degrees of freedom >= statistic): the regularized upper incomplete gamma."""
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:  # here the lower function's series converges fast, elsewhere the upper one's fraction
        total = term = 1 / a
        k = a
        while term > total * 1e-16:
            k += 1
            term *= x / k
            total += term
        return max(0.0, 1 - scale * total)
    # Lentz's evaluation of the continued fraction (Numerical Recipes 6.2).
    b = x + 1 - a
    c, d = 1e300, 1 / b
    fraction = d
    for i in range(1, 10_000):
        step = -i * (i - a)
        b += 2
        d = 1 / (step * d + b)
        c = b + step / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return min(1.0, scale * fraction)


def student_t_p(t: float, freedom: int) -> float:
    """P(Student's t >= t), by the regularized incomplete beta function (Numerical Recipes 6.4, 6.14)."""
    half = 0.5 * _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))
    return half if t >= 0 else 1 - half


def student_t_quantile(confidence: float, freedom: int) -> float:
    """The t that is not exceeded with this probability, of at least 0.5."""
    low, high = 0.0, 1.0
    while student_t_p(high, freedom) > 1 - confidence:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_t_p(middle, freedom) > 1 - confidence else (low, middle)
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularized one, by Lentz's continued fraction, which converges fast below the mean."""
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = (
        math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
        if x > 0
        else 0.0
    )
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 1_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + step * d)
            c = 1 + step / c
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction / a


def fisher_p(hits: int, rows: int, other_hits: int, other_rows: int) -> float:
    """Fisher's exact test that two shares are equal: twice the smaller hypergeometric tail, at any count."""
    total_hits, total = hits + other_hits, rows + other_rows
    if hits * total < rows * total_hits:  # fewer than expected: count the rows that are no hits
        hits, total_hits = rows - hits, total - total_hits
    least = total - total_hits - rows

    def choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    first = choose(total_hits, hits) + choose(total - total_hits, rows - hits) - choose(total, rows)
    # From the observed count outwards each probability follows from the one before; they only fall.
    k = np.arange(hits, min(rows, total_hits, hits + 20_000), dtype=np.float64)
    ratios = (total_hits - k) * (rows - k) / ((k + 1) * (least + k + 1))
    return min(1.0, 2 * math.exp(first) * (1 + float(np.cumprod(ratios).sum())))


def compare_shares(hits: int, rows: int, other_hits: int, other_rows: int) -> Comparison:
    """`hits` of `rows` in the window against the reference's; statistic: the difference of shares."""
    difference = hits / rows - other_hits / other_rows
    return Comparison(difference, abs(difference), fisher_p(hits, rows, other_hits, other_rows))


def compare_levels(window: npt.NDArray[np.int64], reference: npt.NDArray[np.int64]) -> Comparison:
    """Counts by level (last: all other levels); the effect is the total variation distance.

    Levels that expect under 10 rows in the smaller sample are pooled with the last. A pool that is rare itself
    gets Fisher's test, Bonferroni over the two: a new category is seen at once, no chi-square is strained.
    """
    n, m = int(window.sum()), int(reference.sum())
    expected = (window + reference) * (min(n, m) / (n + m))
    common = expected >= MIN_EXPECTED
    common[-1] = False
    pools = [np.append(counts[common], counts[~common].sum()) for counts in (window, reference)]
    effect = 0.5 * float(np.abs(pools[0] / n - pools[1] / m).sum())
    rare = 0 < expected[~common].sum() < MIN_EXPECTED
    tested = [counts[:-1] if rare else counts for counts in pools]
    statistic, p = _chi_square(*tested)
    if rare:
        pool = fisher_p(int(pools[0][-1]), n, int(pools[1][-1]), m)
        p = min(1.0, 2 * min(p, pool)) if len(tested[0]) > 1 else pool
    return Comparison(statistic, effect, p)


def holm(p: FloatArray) -> FloatArray:
    """Holm's (1979) step-down adjusted p-values: reject at a family-wise level whatever the dependence."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def _chi_square(window: npt.NDArray[np.int64], reference: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Pearson's two-sample statistic and its p-value, which is Fisher's where there are just two levels."""
    kept = window + reference > 0
    table = np.stack([window[kept], reference[kept]]).astype(np.float64)
    levels = table.shape[1]
    if levels < 2 or not table.sum(axis=1).all():
        return 0.0, 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    if levels == 2:
        n, m = table.sum(axis=1)
        return statistic, fisher_p(int(table[0, 0]), int(n), int(table[1, 0]), int(m))
    return statistic, chi_square_p(statistic, levels - 1)

"""Methods held against a reference over seeds: paired tests, corrected for their number, and effects with intervals.

A pair is one seed: both methods had the same data and, of the same network, the same first weights; samples come in one
order until one of them begins another stage. Seeds are all that is drawn: what is shown is shown of these samples and
networks. The difference is tested by Student's t for pairs, its interval is of the same t; the effect size is Cohen's d
of pairs, the mean difference over its standard deviation, with a percentile bootstrap interval over seeds. p-values are
corrected by Holm's step-down procedure (1979), over all comparisons of a study.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from attrgraph_core.study.seeds import FEWEST_SEEDS

LEVEL = 0.05
BOOTSTRAP_DRAWS = 2000


@dataclass(frozen=True)
class PairedComparison:
    """Own less reference over `pairs` seeds: mean with its 95 % interval, effect size with its own, p-values.

    A figure is NaN where there are too few pairs for it. `corrected_p` is that of Holm, NaN before `holm_corrected`.
    """

    pairs: int
    difference: float
    low: float
    high: float
    effect: float
    effect_low: float
    effect_high: float
    p: float
    corrected_p: float = math.nan

    def verdict(self, larger_is_better: bool, is_quick: bool) -> str:
        """What may be said, in a word or two."""
        if is_quick:
            return "quick: no claim"
        if self.pairs < FEWEST_SEEDS:
            return f"{self.pairs} pairs: no claim"
        if not self.corrected_p < LEVEL:
            return "no difference shown"
        return "better" if (self.difference > 0) == larger_is_better else "worse"


def compare_paired(own: Mapping[int, float], reference: Mapping[int, float]) -> PairedComparison:
    """Two methods' figures by seed, on the seeds that both have a finite figure of.

    Differences that are all one number have no spread to test by: equal methods get p = 1, others that of the sign
    test, 2 * 0.5^n, the least that n signs can say.
    """
    seeds = [
        seed
        for seed in sorted(own.keys() & reference.keys())
        if math.isfinite(own[seed]) and math.isfinite(reference[seed])
    ]
    differences = np.array([own[seed] - reference[seed] for seed in seeds], dtype=float)
    count = len(differences)
    if count < 2:
        mean = float(differences.mean()) if count else math.nan
        return PairedComparison(count, mean, *(math.nan,) * 6)
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        p = 1.0 if abs(mean) <= 1e-12 else min(1.0, 2 * 0.5**count)
        return PairedComparison(count, mean, mean, mean, math.nan, math.nan, math.nan, p)
    margin = float(stats.t.ppf(1 - LEVEL / 2, count - 1)) * deviation / math.sqrt(count)
    p = float(stats.ttest_1samp(differences, 0.0).pvalue)
    return PairedComparison(
        count, mean, mean - margin, mean + margin, mean / deviation, *_bootstrapped_effect(differences), p
    )


def _bootstrapped_effect(differences: np.ndarray) -> tuple[float, float]:
    """The percentile interval of mean over standard deviation; draws of one seed alone have none, and are left out."""
    generator = np.random.default_rng(0)
    drawn = differences[generator.integers(0, len(differences), (BOOTSTRAP_DRAWS, len(differences)))]
    deviations = drawn.std(axis=1, ddof=1)
    effects = drawn.mean(axis=1)[deviations > 0] / deviations[deviations > 0]
    low, high = np.percentile(effects, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; NaN are no tests, and stay.

    The i-th smallest of m, from 1, becomes the largest of (m - j + 1) p_(j) over j <= i, at most 1.
    """
    adjusted = [math.nan] * len(p_values)
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[place] = largest
    return adjusted


def holm_corrected(comparisons: Sequence[PairedComparison], left_out: int = 0) -> list[PairedComparison]:
    """All comparisons of a study, corrected for their number, those `left_out` among them: they count as p = 1."""
    adjusted = holm([*(comparison.p for comparison in comparisons), *[1.0] * left_out])
    return [replace(comparison, corrected_p=p) for comparison, p in zip(comparisons, adjusted, strict=False)]

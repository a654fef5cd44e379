"""Paired comparisons against values worked by hand, and scipy's own pairs."""

import math

import numpy as np
import pytest
from scipy import stats

from attrgraph_core.study.comparisons import PairedComparison, compare_paired, holm, holm_corrected


def test_holm_by_hand():
    # Sorted: .01 * 4, .02 * 3, .03 * 2, .04 * 1; each at least the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9, math.nan]) == pytest.approx([1.0, 1.0, math.nan], nan_ok=True)
    assert holm([]) == []


def test_a_comparison_is_the_paired_t_test():
    own, reference = [0.91, 0.93, 0.90, 0.95, 0.92], [0.90, 0.90, 0.91, 0.92, 0.90]
    found = compare_paired(dict(enumerate(own)), dict(enumerate(reference)))
    expected = stats.ttest_rel(own, reference)
    assert found.pairs == 5
    assert found.difference == pytest.approx(0.016)
    assert found.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.effect == pytest.approx(0.016 / np.std([0.01, 0.03, -0.01, 0.03, 0.02], ddof=1))
    assert found.effect_low < found.effect < found.effect_high


def test_only_seeds_that_both_have_count():
    found = compare_paired({0: 1.0, 1: 2.0, 2: math.nan, 7: 3.0}, {1: 1.0, 2: 1.0, 7: 1.0, 8: 1.0})
    assert (found.pairs, found.difference) == (2, 1.5)
    assert math.isnan(compare_paired({0: 1.0}, {0: 0.0}).p)
    assert math.isnan(compare_paired({}, {}).difference)


def test_differences_without_spread():
    equal = compare_paired(dict.fromkeys(range(10), 0.5), dict.fromkeys(range(10), 0.5))
    assert (equal.p, equal.difference) == (1.0, 0.0)
    shifted = compare_paired(dict.fromkeys(range(10), 0.75), dict.fromkeys(range(10), 0.5))
    assert shifted.p == 2 * 0.5**10


def test_verdicts_need_seeds_and_a_corrected_p():
    found = PairedComparison(10, 0.1, 0.05, 0.15, 1.0, 0.5, 1.5, 0.01)
    (alone,) = holm_corrected([found])
    assert alone.verdict(larger_is_better=True, is_quick=False) == "better"
    assert alone.verdict(larger_is_better=False, is_quick=False) == "worse"
    assert alone.verdict(larger_is_better=True, is_quick=True) == "quick: no claim"
    among_six = holm_corrected([found] * 6)[0]
    assert among_six.corrected_p == pytest.approx(0.06)
    assert among_six.verdict(larger_is_better=True, is_quick=False) == "no difference shown"
    assert holm_corrected([found], left_out=5)[0].corrected_p == pytest.approx(0.06)
    few = PairedComparison(9, 0.1, 0.05, 0.15, 1.0, 0.5, 1.5, 0.001, 0.001)
    assert few.verdict(larger_is_better=True, is_quick=False) == "9 pairs: no claim"

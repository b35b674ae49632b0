"""Propositions 4.2 and 4.3, Figure 7 and finite β: no check passes for what is false."""

import numpy as np
import pytest

from theory.adam.update import limit_update
from theory.claims import figure_7, leading_order, proposition_4_2
from theory.laws import Uniform

pytestmark = pytest.mark.slow


def test_remainder_check_can_fail():
    """A remainder bound below the true coefficient is not proved, in either regime."""
    assert not leading_order.remainder_proved(True, 0.05, 5.0, 0.1).passed
    assert not leading_order.remainder_proved(False, 0.4, 5.0, 0.1).passed


def test_remainder_ratio_is_the_exact_update_over_the_leading_form():
    power = np.array([0.5, 1.2, 3.0])
    for low_noise, ratio in ((True, 0.2), (False, 5.0)):
        exact = limit_update(power, 1e-3, ratio * 1e-3, Uniform(), epsilon=1e-5)
        if low_noise:
            leading = 1e-3**power / (1e-3**power + 1e-5)
            weight = leading
        else:
            sigma = 5e-3
            denominator = sigma**power / np.sqrt(2 * power + 1) + 1e-5
            leading = sigma**power / denominator / ratio
            weight = 1 - 1e-5 / denominator
        found = leading_order.ratio(power, min(ratio, 1 / ratio), weight, low_noise)
        np.testing.assert_allclose(found, exact / leading, rtol=1e-12)


def test_maximum_is_not_proved_where_there_is_none():
    with pytest.raises(ArithmeticError, match="no certain change of sign"):
        figure_7.enclosed_maximum(1e5)  # p* is above 2.5 there


def test_edge_threshold_separates():
    threshold = proposition_4_2.edge_threshold(epsilon=1e-2)
    assert 1.03 < threshold < 1.04

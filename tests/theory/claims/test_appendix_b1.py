"""Appendix B.1: methods that are not invariant, and wrong powers of the scale, are seen."""

import pytest

from theory.claims import appendix_b1


def test_sgd_is_not_invariant():
    assert not appendix_b1.scale_cancels(lambda gradients: gradients[-1])
    assert appendix_b1.largest_change(lambda gradients: gradients[-1]) > 0.1


def test_epsilon_must_be_rescaled_by_the_right_power():
    assert not appendix_b1.scale_moves_into_epsilon(appendix_b1.ADAM, 2)
    assert not appendix_b1.scale_moves_into_epsilon(appendix_b1.ADAGRAD, 1)


@pytest.mark.parametrize(
    ("method", "exact"),
    [
        (appendix_b1.ADAM, 99e-8),
        (appendix_b1.RMSPROP, 99e-8),
        (appendix_b1.ADAGRAD, 1e-4 * 0.99 / (1 - 0.99**2) ** 0.5),
    ],
)
def test_threshold_of_one_percent(method, exact):
    assert appendix_b1.threshold(method) == pytest.approx(exact, rel=1e-6)
    assert not appendix_b1.shrinks_by_one_percent_at_most(method, 0.9 * exact)[0]

"""No check passes for what is false: with one of its parts wrong, a claim's finding fails."""

from dataclasses import replace

import pytest

from theory.claims import (
    assumption_4_6,
    figure_7,
    lemma_c_1,
    lemma_c_2,
    proposition_4_3,
    theorem_4_5,
)
from theory.claims.beyond import (
    damping,
    exact_update,
    finite_beta,
    mean_map,
    noise_shape,
    signal,
    tails,
)

pytestmark = pytest.mark.slow

# A claim, one of its findings, a name of the module, and another value for it, or what becomes of a function's result.
WRONG = [
    (assumption_4_6, "example", "numeric", "smallest_ratio", lambda found, law: (1.05 * found[0], found[1])),
    (assumption_4_6, "monotone", "numeric", "alignment", lambda a, *_: -a),
    (lemma_c_1, "moment", "numeric", "power_moments", lambda m, *_: replace(m, rms=1.4 * m.rms)),
    (lemma_c_1, "progress", "numeric", "alignment", lambda a, *_: 2.5 * a),
    (lemma_c_2, "log_sum", "numeric", "log_sum_bound", lambda bound, *_: 0.95 * bound),
    (proposition_4_3, "upper_bound", "numeric", "high_noise_power", lambda p, *_: 2.0),
    (proposition_4_3, "lambert", "numeric", "high_noise_power", lambda p, *_: 2.0),
    (proposition_4_3, "upper_bound", "rigorous", "_lambert", lambda p, *_: 1.5 * p),
    (proposition_4_3, "lambert", "rigorous", "_lambert", lambda p, *_: 1.5 * p),
    (proposition_4_3, "lower_bound", "rigorous", "_lambert", lambda p, *_: 0.5 * p),
    (theorem_4_5, "reduction", "numeric", "high_noise_bound", lambda b, *_: replace(b, start=1.01 * b.start)),
    (damping, "damping", "rigorous", "gaussian_damping", lambda value, _: 1.01 * value),
    (exact_update, "kernel", "rigorous", "first_kernel", lambda kernel, z: kernel * (1 + z / 100)),
    (exact_update, "update", "numeric", "exact_update", lambda u, *_: replace(u, rms=1.0001 * u.rms)),
    (finite_beta, "correction", "numeric", "predicted_correction", lambda found, *_: 1.02 * found),
    (mean_map, "slope", "symbolic", "uniform_mean", lambda mean, *_: mean.subs(mean_map.X, 2 * mean_map.X)),
    (mean_map, "slope", "numeric", "mean_map_slope", lambda slope, *_, **__: slope * (1 + 1e-6)),
    (mean_map, "smoothness", "symbolic", "uniform_mean", lambda mean: mean.subs(mean_map.X, 2 * mean_map.X)),
    (mean_map, "smoothness", "numeric", "effective_smoothness", lambda factor, *_: 1.05 * factor),
    (mean_map, "smoothness", "numeric", "effective_smoothness", lambda factor, *_: 0.97 * factor),
    (mean_map, "stalling", "symbolic", "two_point_centre", lambda m, p, _: m * (1 + (p - 1) / 10)),
    (mean_map, "stalling", "numeric", "stalling_gradient", lambda gradient, *_: 0 * gradient),
    (mean_map, "stalling", "rigorous", "two_point_centre", lambda m, p, _: m * (1 + (p - 1) / 10)),
    (signal, "rare_gradients", "numeric", "mean_map_slope", lambda slope, *_: 1.01 * slope),
    (signal, "rare_gradients", "numeric", "equivalents", lambda q, *_: q | {"larger": 1.05 * q["larger"]}),
    (noise_shape, "score", "numeric", "limit_update", lambda u, *_: 1.01 * u),
    (
        noise_shape,
        "power",
        "numeric",
        "optimal_power",
        lambda best, *_: replace(best, power=1.1 * best.power),
    ),
    (tails, "local", "numeric", "quality_slope", lambda slope, *_: 1.01 * slope),
    (proposition_4_3, "stationarity", "symbolic", "_INVERSE_F", 1 / (2 * proposition_4_3.P + 2)),
    (proposition_4_3, "unique", "symbolic", "_INVERSE_F", 1 / (2 * proposition_4_3.P + 2)),
    (figure_7, "figure", "numeric", "_NOISY", (2, 10)),
    (figure_7, "figure", "rigorous", "_NOISY", (2, 10)),
    (lemma_c_1, "young", "symbolic", "SECOND_WEIGHT", lemma_c_1.SECOND_WEIGHT * 2),
]


@pytest.mark.parametrize(
    ("module", "claim", "means", "name", "wrong"), WRONG, ids=[f"{w[1]}-{w[2]}-{w[3]}" for w in WRONG]
)
def test_a_wrong_part_is_noticed(monkeypatch, module, claim, means, name, wrong):
    right = getattr(module, name)
    replacement = (lambda *a, **k: wrong(right(*a, **k), *a)) if callable(wrong) else wrong
    monkeypatch.setattr(module, name, replacement)
    findings = getattr(module, claim).check()
    assert not next(finding for finding in findings if finding.means == means).passed

"""Noise of chosen laws in the language model: the declared arms are the theory's, and the slope is recovered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError

from experiments.studies.chosen_noise import LAWS, LEVEL, POWERS, RATE, ChosenNoise, read_chosen_noise, twin
from experiments.sweeps.studies import read_study
from figures.report.intervention import intervention_section
from gradpower.tools.labels import Label
from tests.experiments.synthetic_study import write_summary
from theory.adam.noise_equivalent import noise_equivalent
from theory.laws import parse_law

FILE = Path(__file__).parents[3] / "results" / "intervention" / "llama.toml"
STUDY = read_study(FILE)


def made(folder, slope, noise):
    """A summary in which the loss at p = 1 is σ's logarithm, and a power acts like `slope` times its twin's change."""
    rng = np.random.default_rng(0)

    def outcome(arm):
        law, power, level, _ = arm.values.values()
        loss = 0.5 * np.log(level)
        if power != 1:
            loss += slope * 0.5 * np.log(twin(law, power)[0] / LEVEL)
        return {"loss": float(4 + 0.1 * arm.seed + loss + noise * rng.normal())}

    return write_summary(folder, FILE, outcome)


def test_the_declared_arms_are_the_theorys():
    expected = []
    for law in LAWS:
        twins = [twin(law, power) for power in POWERS]
        expected += [(law, 1.0, LEVEL, RATE)]
        expected += [(law, power, LEVEL, rate) for power, (_, rate) in zip(POWERS, twins, strict=True)]
        expected += [(law, 1.0, level, RATE) for level, _ in twins]
        for power, (level, _) in zip(POWERS, twins, strict=True):
            assert LEVEL / level == pytest.approx(noise_equivalent(power, parse_law(law)), rel=1e-4)
    assert [tuple(arm.values.values()) for arm in STUDY.arms()] == expected * len(STUDY.seeds)


@pytest.mark.parametrize(
    ("slope", "noise", "label"),
    [
        (0.9, 5e-4, Label.REPRODUCED),
        (0.5, 5e-4, Label.IN_PART),
        (0.0, 5e-4, Label.NOT_REPRODUCED),
        (-0.5, 5e-4, Label.NOT_REPRODUCED),
    ],
)
def test_the_slope_is_recovered(tmp_path, slope, noise, label):
    found = read_chosen_noise(made(tmp_path, slope, noise))
    assert found.label is label
    assert len(found.changes) == found.calibration.count == 6
    assert found.calibration.slope == pytest.approx(slope, abs=40 * noise)
    text = intervention_section(None, found)
    assert f"in the language model: {label}.**" in text
    assert f"| uniform | 0.8 | {found.changes[0].measured.mean:+.4f}" in text


def test_a_label_without_words_is_an_error(tmp_path, monkeypatch):
    found = read_chosen_noise(made(tmp_path, 1.0, 1e-3))
    monkeypatch.setattr(ChosenNoise, "label", Label.HOLDS)
    with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
        intervention_section(None, replace(found))

"""The study of the stability edge, on losses that rise beyond a rate of one's own choice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.studies.stability import POWERS, RATE, read_stability
from experiments.sweeps.results import SUMMARY_SCHEMA, ArmResult, Summary
from experiments.sweeps.studies import read_study
from gradpower.tools.labels import Label
from gradpower.tools.reading import write_json
from tests.experiments.studies.test_where_it_gains import CAUSES


def made(folder, edges, sharpness):
    """Losses jump by a nat above `edges[power]`, and runs diverge above twice that."""
    paths = []
    for name in ("stability", "sharpness"):
        study = read_study(CAUSES / f"{name}.toml")
        arms = []
        for arm in study.arms():
            power, rate = arm.values["optimizer.power"], arm.values.get("optimizer.learning_rate", RATE)
            over = rate / edges[power]
            rows = [{"tokens": 1, "validation_loss": 4.0, "sharpness": s / RATE} for s in sharpness]
            result = ArmResult(
                arm.values, arm.seed, "completed", 4.0 + (over > 1), 0.01, arm.fingerprint, evaluations=rows
            )
            if over > 2:
                result = replace(result, status="diverged", loss=None, standard_error=None)
            arms.append(result)
        paths.append(write_json(folder / f"{name}.json", Summary(study, [], {}, arms), SUMMARY_SCHEMA))
    return paths


@pytest.mark.parametrize(
    ("edge", "sharpness", "label"),
    [
        (8e-3, (-1.0, -6.0), Label.NOT_REPRODUCED),
        (8e-3, (1.0, -20.0), Label.INCONCLUSIVE),
        (3e-3, (1.0, 6.0), Label.INCONCLUSIVE),
    ],
)
def test_the_highest_stable_rates(tmp_path, edge, sharpness, label):
    edges = dict(zip(POWERS, (edge / 2, edge, 2 * edge), strict=True))
    found = read_stability(*made(tmp_path, edges, sharpness))
    assert found.label is label
    for power, highest in found.highest.items():
        tried = (2.83e-3, 5.66e-3, 8e-3, 1.13e-2, 1.6e-2)
        expected = max((rate for rate in tried if rate <= edges[power]), default=tried[0])
        assert highest == (expected,) * 3
    assert found.sharpness[1.0] == pytest.approx(np.abs(sharpness))
    assert found.edge == pytest.approx(38)

"""The study of the stability edge, on losses that rise beyond a rate of one's own choice."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.studies.stability import POWERS, RATE, read_stability
from gradpower.tools.labels import Label
from tests.experiments.studies.test_where_it_gains import CAUSES
from tests.experiments.synthetic_study import write_summary


def made(folder, edges, sharpness):
    """Losses jump by a nat above `edges[power]`, and runs diverge above twice that."""

    def outcome(arm):
        over = arm.values.get("optimizer.learning_rate", RATE) / edges[arm.values["optimizer.power"]]
        if over > 2:
            return {"status": "diverged", "loss": None, "standard_error": None}
        rows = [{"tokens": 1, "validation_loss": 4.0, "sharpness": s / RATE} for s in sharpness]
        return {"loss": 4.0 + (over > 1), "evaluations": rows}

    return [write_summary(folder, CAUSES / f"{name}.toml", outcome) for name in ("stability", "sharpness")]


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

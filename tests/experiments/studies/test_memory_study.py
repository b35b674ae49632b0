"""What the study of the memory of the second moment says, from its committed summary and from made-up losses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.studies.causes import Causes
from experiments.studies.memory import read_best_rates, read_memory
from experiments.sweeps.results import read_summary
from figures.report.studies import memory_section
from gradpower.tools.errors import InputError
from gradpower.tools.labels import Label
from tests.experiments.synthetic_study import noisy, write_summary

COMMITTED = Path(__file__).parents[3] / "results" / "causes" / "memory.json"


def test_against_a_computation_by_hand():
    losses: dict[tuple[float, float], dict[int, list[float]]] = {}
    for row in read_summary(COMMITTED).arms:
        cell = losses.setdefault((row.values["optimizer.power"], row.values["optimizer.beta2"]), {})
        cell.setdefault(row.seed, []).append(row.loss)
    means = {
        cell: np.array([np.mean(by_seed[s]) for s in sorted(by_seed)]) for cell, by_seed in losses.items()
    }
    study = read_memory(COMMITTED)
    for row in study.rows:
        assert row.changes[1.2].mean == pytest.approx(np.mean(means[1.2, row.beta2] - means[1.0, row.beta2]))
        assert row.losses[1.0].mean == pytest.approx(np.mean(means[1.0, row.beta2] - means[1.0, 0.95]))
        assert row.losses[1.2].mean == pytest.approx(np.mean(means[1.2, row.beta2] - means[1.0, 0.95]))
    change = means[1.2, 0.99] - means[1.0, 0.99] - means[1.2, 0.95] + means[1.0, 0.95]
    assert study.interaction.mean == pytest.approx(change.mean())
    assert study.interaction.sd == pytest.approx(change.std(ddof=1))
    assert study.label is Label.IN_PART


def made(tmp_path, gains, *, spread=0.01):
    """Return the committed summary with losses in which p = 1.2 gains so much at β2 0.95 and at the others."""
    content = json.loads(COMMITTED.read_text(encoding="utf-8"))
    rng = np.random.default_rng(1)
    for row in content["arms"]:
        gain = gains[row["values"]["optimizer.beta2"] > 0.95]
        row["loss"] = 3.7 - gain * (row["values"]["optimizer.power"] == 1.2) + spread * rng.normal()
    path = tmp_path / "memory.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("gains", "spread", "label"),
    [
        ((0.04, 0.0), 0.003, Label.REPRODUCED),
        ((0.08, 0.03), 0.003, Label.IN_PART),
        ((0.04, 0.04), 0.003, Label.NOT_REPRODUCED),
        ((0.04, 0.03), 0.1, Label.INCONCLUSIVE),
    ],
)
def test_labels(tmp_path, gains, spread, label):
    assert read_memory(made(tmp_path, gains, spread=spread)).label is label


def test_another_study_is_rejected():
    with pytest.raises(InputError, match=r"of the study causes-tuning, .* a summary of causes-memory"):
        read_memory(COMMITTED.with_name("tuning.json"))


def test_a_study_under_way_is_rejected(tmp_path):
    path = made(tmp_path, (0.0, 0.0))
    content = json.loads(path.read_text())
    content["arms"][0] |= {"status": "missing", "loss": None}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="143 of 144 arms completed"):
        read_memory(path)


@pytest.mark.parametrize(
    ("power", "longer", "noise", "labels"),
    [
        (-0.03, -0.03, 0.003, (Label.REPRODUCED, Label.REPRODUCED)),
        (0.0, 0.03, 0.003, (Label.NOT_REPRODUCED, Label.NOT_REPRODUCED)),
        (0.0, 0.0, 0.1, (Label.INCONCLUSIVE, Label.INCONCLUSIVE)),
    ],
)
def test_each_memory_at_its_best_rate(tmp_path, power, longer, noise, labels):
    def loss(power_of, beta2, rate):
        return (
            power * (power_of == 1.2)
            + longer * (beta2 == 0.99)
            + 10 * abs(rate - (5.66e-3, 2.83e-3)[beta2 == 0.99])
        )

    here, others = (
        noisy(lambda power, beta2, learning_rate=5.66e-3: loss(power, beta2, learning_rate), noise)
        for _ in range(2)
    )
    path = write_summary(tmp_path, COMMITTED.with_name("memory-rate.toml"), here)
    surface = write_summary(tmp_path, COMMITTED.with_name("memory-surface.toml"), others)
    found = read_best_rates(path, surface)
    assert (found.label("P"), found.label("M")) == labels
    assert found.means["best"].mean == pytest.approx(power - longer, abs=2 * noise)
    assert found.means["power: 0.99"].mean == pytest.approx(power, abs=2 * noise)
    text = memory_section(Causes(best_rates=found))
    assert f"p = 1.2 gains: {labels[0]}.**" in text
    assert f"each at its best rate: {labels[1]}.**" in text

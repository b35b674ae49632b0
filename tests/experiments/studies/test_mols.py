"""The studies of MoLS-style rates: their readers, labels and section on synthetic results of arms as designed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError

from experiments.noise.measurement import NOISE
from experiments.studies.mols import (
    SNAPSHOTS,
    VARIANTS,
    ModuleRates,
    read_module_rates,
    read_rates_edge,
    read_signal_to_noise,
)
from experiments.studies.paper import PaperStudies
from experiments.sweeps.study import Rule
from figures.report.render import render
from gradpower.tools.errors import InputError
from gradpower.tools.labels import Label
from tests.experiments.synthetic_study import noisy, write_summary

RESULTS = Path(__file__).parents[3] / "results"
PAPER = RESULTS / "paper"
# Squared ratios at the start and the end of training: VO's are the highest, embedding and head start low, all fall.
RATIOS = {
    "qk": (2, 1),
    "vo": (8, 4),
    "mlp": (2, 1),
    "embedding": (0.2, 0.1),
    "head": (0.2, 0.1),
    "norm": (1, 1),
}


def signal_to_noise(folder, *, vo=1.0, missing=0):
    """Write a study whose ratios at β2 = 0.95 are RATIOS / 1000, with VO's times `vo`, by both estimators; read it."""
    rng = np.random.default_rng(0)
    template = NOISE.read(RESULTS / "causes" / "noise.json")
    (folder / "noise").mkdir()
    runs = []

    def ratio(module, share):
        first, last = RATIOS[module]
        return (
            1e-3 * (first + (last - first) * share) * (vo if module == "vo" else 1) * rng.uniform(0.99, 1.01)
        )

    def outcome(arm):
        if arm.values["optimizer.beta2"] == 0.95:
            runs.append(arm.recipe)
        adam = {name.replace("mlp", "ffn"): ratio(name, 0.5) for name in RATIOS}
        return {
            "loss": 3.7,
            "evaluations": [
                {"tokens": step * 256, "validation_loss": 3.7, "squared_snr": None if step == 20 else adam}
                for step in SNAPSHOTS
            ],
        }

    path = write_summary(folder, PAPER / "mols-measured.toml", outcome)
    for recipe in runs:
        for step in SNAPSHOTS:
            squared = {row.module: ratio(row.module, step / 2000) for row in template.modules}
            rows = [
                replace(row, noise_to_signal=own**-0.5, low=(1.1 * own) ** -0.5, high=(0.9 * own) ** -0.5)
                for row, own in ((row, squared[row.module]) for row in template.modules)
            ]
            found = replace(template, recipe=recipe, step=step, modules=tuple(rows))
            file = folder / "noise" / f"{recipe.fingerprint}-{step}.json"
            file.write_text(NOISE.dump(**vars(found)), encoding="utf-8")
    for file in [*(folder / "noise").iterdir()][:missing]:
        file.unlink()
    return read_signal_to_noise(path, folder / "noise")


def test_signal_to_noise(tmp_path):
    found = signal_to_noise(tmp_path)
    assert found.highest_label is Label.REPRODUCED
    assert [found.endpoints.side(name, -1) for name in ("start", "fall")] == [Label.REPRODUCED] * 2
    assert found.ratios["micro-batches"]["vo"][-1].mean == pytest.approx(4e-3, rel=0.01)
    assert found.ratios["Adam, β2 = 0.99"]["head"][0] is None
    assert found.ratios["Adam, β2 = 0.99"]["mlp"][-1].mean == pytest.approx(1.5e-3, rel=0.01)
    assert found.errors["vo"][-1] == pytest.approx(0.05 * 4e-3, rel=0.01)
    text = render("mols", found=PaperStudies(signal_to_noise=found))
    assert "throughout: reproduced.**" in text
    assert f"| vo | micro-batches | {1e3 * found.ratios['micro-batches']['vo'][0].mean:.2g} |" in text
    assert "|  | Adam, β2 = 0.95 | – |" in text
    assert text.count("\n\n|") == 1  # one table, without holes


def test_another_module_with_the_highest_ratio(tmp_path):
    assert signal_to_noise(tmp_path, vo=0.1).highest_label is Label.NOT_REPRODUCED


def test_measurements_must_be_those_of_the_runs(tmp_path):
    with pytest.raises(
        InputError, match="with 23 measurements, is not allowed; expected the 24 measurements"
    ):
        signal_to_noise(tmp_path, missing=1)


@pytest.mark.parametrize(
    ("factors", "by_hand", "noise", "label", "half"),
    [
        (-0.04, -0.05, 0.003, Label.REPRODUCED, Label.REPRODUCED),
        (-0.01, -0.05, 0.003, Label.REPRODUCED, Label.NOT_REPRODUCED),
        (0.02, 0.0, 0.003, Label.NOT_REPRODUCED, Label.INCONCLUSIVE),
        (0.0, -0.05, 0.003, Label.NOT_REPRODUCED, Label.NOT_REPRODUCED),
        (0.0, 0.0, 0.1, Label.INCONCLUSIVE, Label.INCONCLUSIVE),
    ],
)
def test_module_rates(tmp_path, factors, by_hand, noise, label, half):
    defaults = {"mols_share": 0.01, "mols_every": 0, "mols_exponent": 0.5, "mols_limit": 10.0}
    arms = [("uniform", 1.0, {}), ("uniform", 1.2, {}), ("mols", 1.0, {}), ("mols", 1.2, {})]
    arms += [("mols", 1.0, changed) for changed in VARIANTS.values()]
    arms += [("blockwise", 1.0, {}), ("vo:3.0,embedding:10.0", 1.0, {})]
    axis = {"optimizer.module_rates": [arm[0] for arm in arms], "optimizer.power": [arm[1] for arm in arms]}
    axis |= {
        f"optimizer.{name}": [arm[2].get(name, value) for arm in arms] for name, value in defaults.items()
    }

    def loss(module_rates, power, mols_exponent, **_):
        change = {"uniform": 0.0, "mols": factors, "blockwise": 0.06}.get(module_rates, by_hand)
        return change - 0.02 * (power == 1.2) + 0.1 * (mols_exponent == 1)

    changes = {
        "name": "paper-mols",
        "axes": [axis, {"optimizer.learning_rate": [2.83e-3, 5.66e-3]}],
        "seeds": [*range(8)],
        "rule": Rule("optimizer.power", 1.0),
    }
    found = read_module_rates(
        write_summary(tmp_path, PAPER / "blockwise.toml", noisy(loss, noise), **changes)
    )
    assert (found.label, found.half_label) == (label, half)
    assert found.means["exponent 1"].mean == pytest.approx(factors + 0.1, abs=2 * noise)
    assert found.means["power"].mean == pytest.approx(0, abs=2 * noise)
    text = render("mols", found=PaperStudies(module_rates=found))
    assert f"lower the loss: {label}.**" in text
    assert f"tuning by hand does: {half}.**" in text
    assert f"| exponent 1, less one rate | {found.means['exponent 1'].mean:+.4f} [" in text


def test_the_edge_of_module_rates(tmp_path):
    def outcome(arm):
        twice = 2 if arm.values["optimizer.module_rates"] == "mols" else 1
        stable = arm.values["optimizer.learning_rate"] < 8e-3 * twice
        return {"loss": 3.7} if stable else {"status": "diverged", "loss": None, "standard_error": None}

    found = read_rates_edge(write_summary(tmp_path, PAPER / "mols-edge.toml", outcome))
    assert (found.uniform, found.mols) == ((5.66e-3,) * 3, (1.13e-2,) * 3)
    text = render("mols", found=PaperStudies(rates_edge=found))
    assert "rate is 2.00 times that of one rate" in text
    assert text.count("not attempted.**") == 2


def test_module_rates_without_a_branch(monkeypatch):
    monkeypatch.setattr(ModuleRates, "label", Label.HOLDS)
    with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
        render("mols", found=PaperStudies(module_rates=ModuleRates({}, {})))

"""The studies of results/paper: their readers, labels and sections on synthetic losses of arms as designed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError

from experiments.recipes.model_size import model_size
from experiments.statistics import Contrasts
from experiments.studies.figure_5 import PAPERS_GAINS, Additivity, MuonPower, read_additivity, read_muon
from experiments.studies.mixtures import Mixtures, read_mixtures
from experiments.studies.paper import PaperStudies
from experiments.studies.sizes import Sizes, read_sizes
from experiments.sweeps.study import Rule
from figures.report.render import render
from gradpower.tools.labels import Label
from tests.experiments.synthetic_study import noisy, write_summary

PAPER = Path(__file__).parents[3] / "results" / "paper"


def section(found):
    return render("figure_5", papers=PAPERS_GAINS, found=found)


@pytest.mark.parametrize(
    ("power", "blocks", "extra", "noise", "label"),
    [
        (-0.02, -0.03, 0.0, 0.003, Label.REPRODUCED),
        (-0.02, -0.03, 0.012, 0.015, Label.IN_PART),
        (-0.02, -0.03, 0.03, 0.003, Label.NOT_REPRODUCED),
        (-0.02, -0.03, -0.03, 0.003, Label.NOT_REPRODUCED),
        (-0.02, 0.03, 0.0, 0.003, Label.NOT_REPRODUCED),
        (-0.02, -0.02, 0.0, 0.1, Label.INCONCLUSIVE),
    ],
)
def test_additivity(tmp_path, power, blocks, extra, noise, label):
    def loss(module_rates, learning_rate, **values):
        p, b = values["power"] == 1.2, module_rates == "blockwise"
        return power * p + blocks * b + extra * (p and b) + learning_rate * (not b)

    found = read_additivity(write_summary(tmp_path, PAPER / "blockwise.toml", noisy(loss, noise)))
    assert found.label is label
    assert found.means["PB"].mean == pytest.approx(power + blocks + extra, abs=2 * noise)
    assert found.means["I"].mean == pytest.approx(extra, abs=2 * noise)
    text = section(PaperStudies(additivity=found))
    assert f"Blockwise add up: {label}.**" in text
    assert f"| I: both, less P and B | 0.000 | {found.means['I'].mean:+.4f} [" in text


@pytest.mark.parametrize(
    ("small", "large", "noise", "label"),
    [
        (-0.1, -0.02, 0.003, Label.REPRODUCED),
        (-0.1, 0.1, 0.003, Label.IN_PART),
        (0.0, 0.1, 0.003, Label.NOT_REPRODUCED),
        (0.0, 0.0, 0.003, Label.NOT_REPRODUCED),
        (0.0, 0.0, 0.1, Label.INCONCLUSIVE),
    ],
)
def test_muon(tmp_path, small, large, noise, label):
    def loss(power, batch_size, learning_rate):
        return (small if batch_size == 2 else large) * np.log(power) + 0.2 * np.log(power) ** 2 * (
            batch_size == 2
        )

    powers, sizes = [0.8, 0.9, 1.0, 1.1, 1.2, 0.8, 1.0, 1.2], [2] * 5 + [32] * 3
    axes = [
        {"training.batch_size": sizes, "optimizer.power": powers},
        {"optimizer.learning_rate": [2.83e-3, 4e-3]},
    ]
    changes = {"name": "paper-muon", "axes": axes, "seeds": [*range(8)]}
    found = read_muon(write_summary(tmp_path, PAPER / "muon-tuning.toml", noisy(loss, noise), **changes))
    assert (found.sizes, found.label) == ([2, 32], label)
    assert found.means["slope 2"].mean == pytest.approx(small, abs=6 * noise)
    assert found.means["1.2 32"].mean == pytest.approx(large * np.log(1.2), abs=2 * noise)
    text = section(PaperStudies(muon=found))
    assert f"ends below Muon: {label}.**" in text
    assert text.count(" – |") == 2


@pytest.mark.parametrize(("part", "kind"), [("additivity", Additivity), ("muon", MuonPower)])
def test_a_label_without_a_branch_is_an_error(part, kind, monkeypatch):
    monkeypatch.setattr(kind, "label", Label.HOLDS)
    with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
        section(PaperStudies(**{part: kind({}, {})}))
    assert section(PaperStudies()).count("not attempted.**") == 2


def mixtures(folder, gap, twin, growth, spikes, noise=0.002, lost=lambda values: False):
    """Write a study of mixtures whose gap grows over the run, some of whose runs diverge, and read it."""
    rng = np.random.default_rng(0)
    models = {
        "model.family": ["qwen2-moe"] * 9 + ["llama"] * 6,
        "model.experts": [8] * 9 + [0] * 6,
        "model.width": [32] * 3 + [48] * 3 + [96] * 3 + [32] * 2 + [48] * 2 + [96] * 2,
        "model.vocabulary": [512] * 3 + [1024] * 6 + [512] * 2 + [1024] * 4,
        "optimizer.learning_rate": [2e-3, 2.83e-3, 5.66e-3] * 3 + [2e-3, 2.83e-3] * 3,
    }
    axes = [models, {"optimizer.power": [1.0, 1.2]}]

    def outcome(arm):
        dense, p = arm.values["model.family"] == "llama", arm.values["optimizer.power"] == 1.2
        change = (twin if dense else gap) * p

        def at(share):
            return float(3.7 + 0.1 * arm.seed + change + growth * (share - 1) * p + noise * rng.normal())

        if lost(arm.values):
            return {"status": "diverged", "loss": None, "standard_error": None, "spikes": 1}
        evaluations = [{"tokens": n, "validation_loss": at(n / 1000)} for n in range(100, 1001, 100)]
        return {"loss": at(1.0), "evaluations": evaluations, "spikes": int(4 + spikes * p + rng.integers(2))}

    changes = {"name": "paper-mixtures", "axes": axes, "seeds": [*range(8)]}
    return read_mixtures(write_summary(folder, PAPER / "mixtures-tuning.toml", outcome, **changes))


@pytest.mark.parametrize(
    ("gap", "label"), [(-0.03, Label.REPRODUCED), (0.03, Label.NOT_REPRODUCED), (0.0, Label.NOT_REPRODUCED)]
)
def test_mixtures(tmp_path, gap, label):
    found = mixtures(tmp_path, gap, gap / 3, 2 * gap, 40 * gap)
    assert found.label is label
    assert list(found.gaps.means) == ["32", "48", "96"]
    for mean in found.gaps.means.values():
        assert mean.mean == pytest.approx(gap, abs=0.004)
    assert found.others.means["D"].mean == pytest.approx(2 * gap / 3, abs=0.004)
    assert found.others.means["S"].mean == pytest.approx(2 * gap, abs=0.01)
    assert found.spikes[1.2] - found.spikes[1.0] == pytest.approx(found.others.means["N"].mean)
    text = render("figure_4", found=found)
    assert f"every size: {label}.**" in text
    assert f"| loss of the mixture of width 48 | {found.gaps.means['48'].mean:+.4f} [" in text
    quiet = Contrasts.of({"D": [0.1, -0.1], "S": [0.1, -0.1], "N": [0.0, 0.0]})  # no spikes at all
    assert "| +0.00 | – |" in render("figure_4", found=replace(found, others=quiet))
    expected = {0.0: Label.INCONCLUSIVE, -0.03: Label.REPRODUCED, 0.03: Label.NOT_REPRODUCED}[gap]
    assert [found.other(name) for name in "DSN"] == [expected] * 3


def test_mixtures_that_diverge(tmp_path):
    """At twice the best rate they leave spikes without a verdict; below, each has learnt nothing of its own tokens."""
    found = mixtures(
        tmp_path, -0.03, -0.01, -0.06, -2, lost=lambda values: values["optimizer.learning_rate"] > 5e-3
    )
    assert found.unstable == {1.0: 24, 1.2: 24}
    assert [found.other(name) for name in "DN"] == [Label.REPRODUCED, Label.INCONCLUSIVE]

    def one_cell(values):
        return (values["model.width"], values["optimizer.learning_rate"], values["optimizer.power"]) == (
            96,
            2e-3,
            1.2,
        )

    found = mixtures(tmp_path, 0.0, 0.0, 0.0, 0, lost=one_cell)
    assert found.gaps.diverged == 16  # with the twin
    assert found.gaps.means["96"].mean == pytest.approx((np.log(1024) - 4.05) / 2, abs=0.01)


def test_mixtures_that_scatter(tmp_path, monkeypatch):
    found = mixtures(tmp_path, 0.0, 0.0, 0.0, 0, noise=0.1)
    assert found.label is Label.INCONCLUSIVE
    for label in (Label.IN_PART, Label.INCONCLUSIVE):
        monkeypatch.setattr(Mixtures, "label", label)
        assert f"every size: {label}.**" in render("figure_4", found=found)
    monkeypatch.setattr(Mixtures, "label", Label.HOLDS)
    with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
        render("figure_4", found=found)
    assert "every size: not attempted.**" in render("figure_4", found=None)


def sizes(folder, gap, growth, noise=0.002):
    """Write the studies of sizes, L = 3 + 20·N^(−0.3), with a gap that grows with ln N, and read them."""
    rng = np.random.default_rng(0)
    widths = ([16, 32], [48, 64])
    written = []
    for name, own, seeds in (("small", widths[0], 8), ("large", widths[1], 4), ("web", [16, 32, 48], 4)):
        models = {
            "model.width": own,
            "model.hidden": [4 * width for width in own],
            "model.heads": [2 if width == 16 else 4 for width in own],
            "model.layers": [width // 16 for width in own],
        }
        axes = [models, {"optimizer.power": [1.0, 1.2]}]
        axes += [] if name == "web" else [{"optimizer.schedule": ["cos", "wsd"]}]

        def outcome(arm):
            n = model_size(arm.recipe.model).total
            change = (gap + growth * np.log(n / 25e3)) * (arm.values["optimizer.power"] == 1.2)
            return {"loss": float(3 + 20 * n**-0.3 + change + noise * rng.normal())}

        changes = {
            "name": f"paper-sizes-{name}",
            "axes": axes,
            "seeds": [*range(seeds)],
            "rule": Rule("optimizer.power", 1.0),
        }
        (folder / name).mkdir()
        written.append(write_summary(folder / name, PAPER / "sizes-tuning.toml", outcome, **changes))
    return read_sizes(*written)


@pytest.mark.parametrize(
    ("gap", "growth", "label", "steady"),
    [
        (-0.03, 0.0, Label.REPRODUCED, Label.REPRODUCED),
        (-0.03, 0.015, Label.IN_PART, Label.NOT_REPRODUCED),
        (0.03, 0.0, Label.NOT_REPRODUCED, Label.INCONCLUSIVE),
    ],
)
def test_sizes(tmp_path, gap, growth, label, steady):
    found = sizes(tmp_path, gap, growth)
    assert (found.label, found.steady_label) == (label, steady)
    assert [found.gaps.means[f"{size} {schedule}"].seeds for size, schedule in found.cells] == [8] * 4 + [
        4
    ] * 4
    first, last = found.cells[0][0], found.cells[-1][0]
    assert found.change[0] == pytest.approx(growth * np.log(last / first), abs=0.004)
    assert found.change[1] < found.change[0] < found.change[2]
    assert found.laws[1.0].exponent == pytest.approx(0.3, abs=0.05)
    low, high = found.laws[1.0].exponent_interval
    assert low < 0.3 < high
    text = render("figures_1_3", found=found)
    assert f"every size: {label}.**" in text
    assert f"steady in size: {steady}.**" in text
    assert text.count("wsd, web pages |") == 3


def test_sizes_without_a_branch(tmp_path, monkeypatch):
    found = sizes(tmp_path, 0.0, 0.0, noise=0.1)
    assert found.label is Label.INCONCLUSIVE
    assert "every size: inconclusive at this size.**" in render("figures_1_3", found=found)
    assert "every size: not attempted.**" in render("figures_1_3", found=None)
    for part in ("label", "steady_label"):
        with monkeypatch.context() as patched:
            patched.setattr(Sizes, part, Label.HOLDS)
            with pytest.raises(UndefinedError, match="no_branch_for_this_label"):
                render("figures_1_3", found=found)

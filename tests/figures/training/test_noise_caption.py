"""What the documents say of the measured gradient noise, against the committed measurement."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.noise.measurement import NOISE
from experiments.noise.replay import CONTROL, POWERS
from experiments.studies.head import read_head_batch, read_signs
from experiments.studies.head_memory import read_head_memory
from experiments.studies.memory import read_best_rates, read_memory
from experiments.studies.modules import read_memory_modules, read_modules
from experiments.studies.surface import read_surface
from gradpower.tools.labels import Label
from simulate.intervention.study import INTERVENTION, calibrated

ROOT = Path(__file__).parents[3]
FOUND = NOISE.read(ROOT / "results" / "causes" / "noise.json")
CAPTION, README = (
    " ".join((ROOT / name).read_text(encoding="utf-8").split())
    for name in ("docs/guide/pretraining.md", "README.md")
)


def test_the_shapes_are_as_the_caption_says():
    assert "has heavier tails than Laplace's, the matrices' lies between Laplace's and Gauss's" in CAPTION
    for row in FOUND.modules:
        low, high = (row.shape + sign * 2 * row.shape_error for sign in (-1, 1))
        assert high < 1 if row.module in ("embedding", "head") else 1 < low < high < 2


def test_the_powers_are_as_the_texts_say():
    assert "the head calls for p above 1 in small batches, and all else for p near 1" in CAPTION
    by_module: dict[str, list[float]] = {}
    for row in FOUND.predictions:
        by_module.setdefault(row.module, []).append(row)
    for name in ("head", "all"):
        powers = [row.power for row in by_module[name]]
        assert by_module[name][0].low > 1.2
        assert powers == sorted(powers, reverse=True)
        assert by_module[name][-1].low < 1.1
    for name in by_module.keys() - {"head", "all"}:
        assert all(row.low < 1.05 for row in by_module[name])
        assert all(row.high > 0.95 for row in by_module[name])


def test_what_the_readme_says_of_the_head():
    assert (
        "Adam is biased against rare, large gradients. A longer memory and a larger batch make that smaller"
        in README
    )
    small, _, large = sorted(
        (row for row in FOUND.predictions if row.module == "head"), key=lambda row: row.batch_size
    )
    plain, powered = small.noise_alone
    assert plain + 4 * small.noise_alone_errors[0] < 0
    assert powered - plain > 4 * max(small.noise_alone_errors)
    assert abs(large.noise_alone[0]) < 0.1 * abs(plain)
    memory = read_head_memory(ROOT / "results" / "causes" / "head-memory.json")
    assert memory.bias_label is Label.REPRODUCED
    assert (
        "With random signs of that noise most of the gain is gone, but then p = 1 learns faster, too."
        in README
    )
    signs = read_signs(ROOT / "results" / "causes" / "signs.json")
    assert -signs.changes["random-signs"].mean < -0.5 * signs.changes["own"].mean
    assert small.equivalent[POWERS.tolist().index(CONTROL)] > 1.1
    assert small.symmetrised < 0.95


def test_what_the_readme_says_of_the_memory():
    assert "In two small LLaMAs, of 0.12M and 0.64M parameters, at β2 = 0.95" in README
    for name in ("memory", "larger"):
        found = read_memory(ROOT / "results" / "causes" / f"{name}.json", f"causes-{name}")
        changes = {row.beta2: row.changes[1.2] for row in found.rows}
        assert changes[0.95].high < 0  # "p = 1.2 lowers the loss"
        assert changes[0.99].high > 0  # the guide: "at 0.99 no gain could be seen"
        assert found.longer.high < 0  # "β2 = 0.99 at p = 1 lowers it more"
        assert found.label is Label.IN_PART


def test_what_the_readme_says_of_all_memories():
    assert "from β2 = 0.995 on it does harm" in README
    assert "with β2, p and the rate all tuned, nor are AdamPower and Adam" in README
    found = read_surface(ROOT / "results" / "causes" / "memory-surface.json")
    for factor in found.exchange.values():  # the guide says twice as long a memory
        assert factor.low < np.log(2) < factor.high
    assert all((row.changes[1.2].low > 0) == (row.beta2 >= 0.995) for row in found.rows)
    assert found.best[0].label is Label.INCONCLUSIVE
    assert "At the best rate of each, tried in the smaller one, the two are not told apart" in README
    causes = ROOT / "results" / "causes"
    assert (
        read_best_rates(causes / "memory-rate.json", causes / "memory-surface.json").means["best"].p_value
        > 0.05
    )


def test_what_the_readme_says_of_other_memories_of_v():
    assert "Another β2 does, too." in README
    found = INTERVENTION.read(ROOT / "results" / "intervention" / "memory.json")
    assert calibrated(found.cells).jackknife_label is Label.REPRODUCED


def test_what_the_readme_says_of_the_matrices():
    assert "a longer memory also gains in the matrices, where no gain of p = 1.2 is shown" in README
    causes = ROOT / "results" / "causes"
    assert read_memory_modules(causes / "memory-modules.json").shown("all else", -1)
    power = read_modules(causes / "modules.json")
    assert power.means["all else"].mean > 0
    assert "embedding" not in power.gains  # "there no gain is shown"


def test_what_the_readme_says_of_batch_sizes():
    assert (
        "In the head, the last matrix, p = 1.2 gains clearly at 2 sequences, a tenth of that at 8, and nothing at 32."
        in README
    )
    found = read_head_batch(ROOT / "results" / "causes" / "head-batch.json")
    assert found.label is Label.REPRODUCED
    assert 0.05 < found.changes[8].mean / found.changes[2].mean < 0.15
    assert max(abs(found.changes[32].low), abs(found.changes[32].high)) < 0.1 * abs(found.changes[2].mean)

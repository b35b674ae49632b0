"""What docs/guide/pretraining.md says below the picture of gradient noise, against the committed measurement."""

from __future__ import annotations

from pathlib import Path

from experiments.noise.measurement import NOISE

ROOT = Path(__file__).parents[3]
FOUND = NOISE.read(ROOT / "results" / "pocket")
TEXT = " ".join((ROOT / "docs" / "guide" / "pretraining.md").read_text(encoding="utf-8").split())


def test_the_shapes_are_as_the_caption_says():
    assert "has heavier tails than Laplace's, the matrices' lies between Laplace's and Gauss's" in TEXT
    for row in FOUND.modules:
        low, high = (row.shape + sign * 2 * row.shape_error for sign in (-1, 1))
        assert high < 1 if row.module in ("embedding", "head") else 1 < low < high < 2


def test_the_powers_are_as_the_caption_says():
    assert "calls for p below 1 in small batches, and nearer to 1 in large ones" in TEXT
    by_module: dict[str, list[float]] = {}
    for row in FOUND.predictions:
        by_module.setdefault(row.module, []).append(row.power)
    assert all(powers[0] < 1 and powers == sorted(powers) for powers in by_module.values())

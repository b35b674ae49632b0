"""What the README says below the picture of gradient noise, against the committed measurement."""

from __future__ import annotations

from pathlib import Path

from experiments.noise.measurement import read_measurement

ROOT = Path(__file__).parents[2]
CONTENT = read_measurement(ROOT / "results" / "pocket")


def best_powers(law: str) -> list[float]:
    rows = [
        row
        for row in CONTENT["predictions"]
        if (row["law"], row["module"], row["objective"]) == (law, "all", "equal learning rate")
    ]
    return [row["power"] for row in rows if not row["reason"]]


def test_the_shapes_are_as_the_caption_says():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert (
        "embedding's and the head's noise has heavier tails than Laplace's, the matrices' lies between"
        in text
    )
    shapes = {row["module"]: row["shape"] for row in CONTENT["modules"]}
    for name, shape in shapes.items():
        low, high = (shape["shape"] + sign * 2 * shape["error"] for sign in (-1, 1))
        assert high < 1 if name in ("embedding", "head") else 1 < low < high < 2


def test_only_under_the_uniform_law_the_power_clearly_falls():
    falls = {
        law: best_powers(law)[0] - best_powers(law)[-1]
        for law in ("uniform", "generalized-normal", "empirical", "direct")
    }
    assert falls["uniform"] > 0.5
    assert all(fall < 0.15 for law, fall in falls.items() if law != "uniform")

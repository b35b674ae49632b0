"""Where Assumptions 4.6 and 4.9 hold: noise ratios, powers and gradients that their constants allow.

(a) Below a line, Assumption 4.6 holds with the named c wherever σ <= r·|∇_iF| (Example 4.7 has c = 0.99). (b) ρ of (C2)
for vanishing gradients, its best case: `ρ = 1/(p·E|ξ/sup ξ|^{p−1})` is below 1 for laws with their mass at the ends,
above 1 for laws with a peak at 0, and exactly 1 for uniform noise, whatever p: then (C2) fails as soon as ∇F ≠ 0.
(c) How large gradients may be under binary noise ±a, for ρ <= 1 and for Example 4.10's ρ <= 1.01/p.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style import Row, columns, grouped, law_style, panels, plain_ticks, select
from theory.adagrad.assumptions import largest_bound_to_noise, largest_noise_to_signal
from theory.adagrad.distortion import mean_map_slope
from theory.laws import parse_law
from theory.numerics.inputs import Array

LOW_POWERS = np.sin(np.linspace(0.12, 1.45, 57)) ** 2  # dense towards 0 and 1
HIGH_POWERS = np.linspace(1.0, 5.0, 41)[1:]
LOW_NOISE = (
    ("uniform", 0.99),
    ("binary", 0.99),
    ("gaussian", 0.99),
    ("laplace", 0.99),
    ("sparse:0.25", 0.99),
    ("uniform", 0.5),
)
CONTRACTIONS = ("binary", "arcsine", "uniform", "triangular", "sparse:0.25")
_MAIN = "0.99"  # Example 4.7's c
_EXAMPLE = (3.0, 1.01)  # p and p·ρ of Example 4.10


def compute(*, low_powers: Array = LOW_POWERS, high_powers: Array = HIGH_POWERS) -> list[Row]:
    """Return the points of all lines.

    "value" is r in panel "4.6", ρ in "C2", and |∇F|/a in "4.10"; "constant" is c, or the limit on ρ.
    """
    table: list[Row] = []
    for name, constant in LOW_NOISE:
        law, powers = parse_law(name), low_powers.tolist()
        ratios = [largest_noise_to_signal(p, constant, law) for p in powers]
        table += _line("4.6", name, f"{constant:g}", powers, ratios)
    powers = high_powers.tolist()
    for name in CONTRACTIONS:
        law = parse_law(name)
        # The limit of `theory.adagrad.assumptions.contraction`, which an atom at ξ = 0 lets come only slowly.
        rho = law.reach ** (high_powers - 1) / mean_map_slope(high_powers, 0.0, 1.0, law)
        table += _line("C2", name, "", powers, rho.tolist())
    for limit in ("1", "1.01/p"):
        table += _line("4.10", "binary", limit, powers, [_largest_gradient(p, limit) for p in powers])
    power = _EXAMPLE[0]
    return table + _line("4.10", "binary", "Example 4.10", [power], [_largest_gradient(power, "1.01/p")])


def _line(panel: str, law: str, constant: str, powers: Iterable[float], values: Iterable[float]) -> list[Row]:
    same = {"panel": panel, "law": law, "constant": constant}
    return [same | {"power": power, "value": value} for power, value in zip(powers, values, strict=True)]


def _largest_gradient(power: float, limit: str) -> float:
    """The largest |∇F|/a with ρ <= 1, or ρ <= 1.01/p: R = |∇F| + a."""
    target = 1.0 if limit == "1" else _EXAMPLE[1] / power
    return largest_bound_to_noise(power, target, parse_law("binary")) - 1


def rows(data: Sequence[Row]) -> list[Row]:
    """Return what is drawn."""
    return list(data)


def draw(data: Sequence[Row]) -> Figure:
    """Draw the three panels side by side."""
    with panels(1, 3, height=3.2) as (figure, grid):
        for axis, panel, draw_panel in zip(
            grid[0], ("4.6", "C2", "4.10"), (_draw_low, _draw_contractions, _draw_example), strict=True
        ):
            lines = grouped(select(data, panel=panel), lambda row: (row["law"], row["constant"]))
            draw_panel(axis, {key: columns(own, "power", "value") for key, own in lines.items()})
            axis.set_xlabel("power $p$")
    return figure


Lines = dict[tuple[str, str], list[list[float]]]  # powers and values, by law and constant


def _draw_low(axis: Axes, lines: Lines) -> None:
    laws = list(dict.fromkeys(law for law, _ in lines))
    for (law, constant), line in lines.items():
        index = laws.index(law)
        style = law_style(index)
        if constant == _MAIN:
            axis.plot(*line, label=law, markersize=3, markevery=(2 + 2 * index, 12), **style)
        else:
            axis.plot(*line, color=style["color"], linewidth=0.8)
            axis.text(0.04, 4.5, f"{law}, $c\\geq {constant}$", fontsize=7, va="bottom")
    floor, color = 1e-3, law_style(0)["color"]
    powers, reached = lines[laws[0], _MAIN]
    axis.fill_between(powers, reached, floor, color=color, alpha=0.13, linewidth=0)
    axis.set(yscale="log", xlim=(0, 1), ylim=(floor, 30), ylabel="largest $r=\\sigma/|\\nabla_iF|$")
    axis.set_title(f"Assumption 4.6, $c\\geq {_MAIN}$")
    axis.legend(loc="lower center", handlelength=3, title=f"shaded: holds for {laws[0]}", title_fontsize=7)


def _draw_contractions(axis: Axes, lines: Lines) -> None:
    for index, ((law, _), line) in enumerate(lines.items()):
        style = law_style(index) | {"markersize": 3, "markevery": (2 + 3 * index, 13)}
        axis.plot(*line, label=law, **style)
    axis.axhspan(1e-3, 1.0, color="0.5", alpha=0.18, linewidth=0)
    axis.text(1.2, 0.12, "(C2) can hold: $\\rho\\leq 1$", fontsize=7)
    axis.set(yscale="log", xlim=(1, 5), ylim=(0.1, 20), ylabel="$\\rho=R^{p-1}/s$ as $\\nabla F\\to 0$")
    plain_ticks(axis.yaxis, [0.1, 0.2, 0.5, 1, 2, 5, 10, 20])
    axis.set_title("Assumption 4.9, (C2)")
    axis.legend(loc="upper center", handlelength=2.4, ncols=2, columnspacing=0.8)


def _draw_example(axis: Axes, lines: Lines) -> None:
    *limits, ((power,), (value,)) = lines.values()
    names, heights, dashes = ("$\\rho\\leq 1$", "$\\rho\\leq 1.01/p$"), (1.2, 1.35), ("-", (0, (5, 1.5)))
    for (powers, values), name, height, dash in zip(limits, names, heights, dashes, strict=True):
        axis.plot(powers, values, color=law_style(0)["color"], linestyle=dash)
        middle = len(powers) // 2
        axis.text(powers[middle], height * values[middle], name, fontsize=8)
    axis.plot(power, value, marker="*", markersize=8, color="black", linestyle="")
    axis.annotate(
        f"Example 4.10, $p={power:g}$:\n$|\\nabla F|\\leq {value:.4f}\\,a$",
        (power, value),
        (power, 1.2e-3),
        fontsize=7,
        ha="center",
        va="bottom",
    )
    axis.set(yscale="log", xlim=(1, 5), ylim=(1e-3, 2), ylabel="largest $|\\nabla F|/a$")
    axis.set_title("binary noise $\\pm a$")

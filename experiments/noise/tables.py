"""Measured gradient noise as tables for the terminal."""

from rich.table import Table

from experiments.noise.measurement import Measurement
from experiments.noise.replay import PredictedPower
from experiments.noise.statistics import Number
from gradpower.tools.terminal import result_table


def power_table(measurement: Measurement) -> Table:
    """Return the table of the best power by module and batch size."""
    sizes = measurement.settings.batch_sizes
    names = list(dict.fromkeys(row.module for row in measurement.predictions))
    cell = {(row.module, row.batch_size): power_text(row) for row in measurement.predictions}
    columns: dict[str, list[str]] = {"module": names}
    columns |= {f"B = {size}": [cell[name, size] for name in names] for size in sizes}
    table = result_table("Predicted best power, at a tuned learning rate", columns)
    table.caption = (
        "the power that makes most of the measured gradients, fed to Adam in\n"
        "random order while the model stands still; curvature taken as ∝ σ².\n"
        "≤ and ≥: at an end of the search; 95 % intervals by jackknife"
    )
    return table


def module_table(measurement: Measurement) -> Table:
    """Return the table of the modules: ratios, shape, kurtosis, and whether σ falls as 1/√B."""
    rows, size = measurement.modules, measurement.settings.micro_batch_size
    table = result_table(
        f"Gradient noise at step {measurement.step}, micro-batches of {size} sequences",
        {
            "module": [row.module for row in rows],
            "σ/|μ|": [_between(row.noise_to_signal, row.low, row.high) for row in rows],
            "median": [_pm(row.ratios[2], row.ratio_errors[2]) if row.ratios else "–" for row in rows],
            "shape b": [_pm(row.shape, row.shape_error) for row in rows],
            "kurtosis": [_number(row.kurtosis) for row in rows],
            "zeros": [f"{row.zero_entries:.0%}" for row in rows],
            "σ·√B": [_pm(row.second_size, row.second_size_error) for row in rows],
        },
    )
    table.caption = (
        "σ/|μ|: √(Σσ²/Σμ²); median: over coordinates, free of the means' noise\n"
        "shape b: 1 Laplace, 2 Gauss, large: uniform; kurtosis: excess, 0 for Gauss\n"
        "σ·√B: at 4 times the size over that at one, 1 if σ ∝ 1/√B; ± one standard error"
    )
    return table


def scale_text(measurement: Measurement) -> str:
    """Return the gradient-noise scales in words."""
    scales = (measurement.norms, measurement.trace)
    norms, trace = (_between(scale.simple, scale.low, scale.high) for scale in scales)
    return f"gradient-noise scale in sequences: {norms} from norms, {trace} from the trace\n"


def power_text(row: PredictedPower) -> str:
    """Return a best power with its interval."""
    if not row.resolved:
        return "no signal resolved"
    sign = "" if not row.at_edge else "≤ " if row.power < 1 else "≥ "
    # At the end of the range without a spread, all that is known is that the best power lies there or beyond.
    interval = f" [{row.low:.2f}, {row.high:.2f}]" if row.high > row.low else ""
    return f"{sign}{row.power:.2f}{interval}"


def _between(value: Number, low: Number, high: Number) -> str:
    return f"{_number(value)} [{_number(low)}, {'∞' if high is None else _number(high)}]"


def _number(value: Number) -> str:
    return "–" if value is None else f"{value:.3g}"


def _pm(value: Number, error: Number) -> str:
    return _number(value) + ("" if value is None or error is None else f"±{error:.1g}")

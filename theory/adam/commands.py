"""The commands `gradpower theory update`, `gradpower theory noise-equivalent` and `gradpower theory noise-bias`."""

from typing import Any

import numpy as np

from gradpower.tools.errors import whole
from gradpower.tools.terminal import Output, OutputFlags, result_table
from theory.adam import noise_bias as biased
from theory.adam import noise_equivalent as equivalent
from theory.adam.example import Example, ExampleFlags, NoiseAndDecays, NoiseAndDecaysFlags
from theory.adam.update import exact_update, limit_update
from theory.numerics.inputs import power_in_range

_FIGURE_7, _DECAYS = Example(), NoiseAndDecays()
_SKEWED = NoiseAndDecays("two-point:0.03")
_TABLE = Output()


def update(
    example: ExampleFlags = _FIGURE_7,
    output: OutputFlags = _TABLE,
    power: float = 1.2,
    step: int | None = None,
) -> None:
    """Compute the mean and root mean square of Adam's update on powered gradients, exactly.

    Parameters
    ----------
    example
        The noise example.
    output
        Where the result goes.
    power
        Power p in (0, 10].
    step
        Step t >= 1 with bias correction; stationarity if not given.
    """
    power_in_range("power", power)
    if step is not None:
        whole("step", step)
    law, setting = example.noise_law, (power, example.mean, example.sigma)
    exact = exact_update(*setting, law, **example.settings, step=step)
    exists = example.sigma == 0 or 2 * power < law.moment_limit
    values: dict[str, Any] = {
        "update": float(exact.drift),
        "rms": float(exact.rms),
        "update_to_rms": float(exact.drift_to_rms),
        "limit": float(limit_update(*setting, law, epsilon=example.epsilon)) if exists else None,
    }
    notes = [] if exists else [f"no limit β → 1: {law.name} has no moment of order 2p = {2 * power:g}"]
    if np.isinf(exact.rms):
        notes.append(f"the RMS is infinite: the tails of {law.name} are too heavy for these β")
    ratio = f"σ/μ = {example.sigma / example.mean:g}"
    title = f"Adam's update on sign(g)|g|^{power:g}, {example.law} noise, {ratio}"
    table = result_table(title, {name.replace("_", " "): [value] for name, value in values.items()})
    table.caption = "\n".join(notes)
    output.show({**values, "notes": notes, "power": power, "step": step, **example.inputs()}, table)


def noise_equivalent(
    adam: NoiseAndDecaysFlags = _DECAYS,
    output: OutputFlags = _TABLE,
    power: float = 1.2,
    noise_to_signal: float = float("inf"),
) -> None:
    """Compute q: at a tuned rate, Adam on powered gradients makes the progress of p = 1 under noise q times smaller.

    q > 1: the power helps; q < 1: it harms. Progress is the mean of the update over the root of its long-run variance.

    Parameters
    ----------
    adam
        The law of the noise, which must be symmetric, and Adam's decay rates.
    output
        Where the result goes.
    power
        Power p in (0, 10].
    noise_to_signal
        Noise-to-signal ratio σ/μ >= 1; strong noise (the limit) if not given.
    """
    decays = {"beta1": adam.beta1, "beta2": adam.beta2, "noise_to_signal": noise_to_signal}
    q = equivalent.noise_equivalent(power, adam.noise_law, **decays)
    inputs = {"power": power, "law": adam.law, **decays}
    table = result_table("Noise equivalent of a power", {k: [v] for k, v in (inputs | {"q": q}).items()})
    table.caption = "q: the power makes the progress of p = 1 under the noise divided by q; q > 1 helps"
    output.show({"noise_equivalent": q, **inputs}, table)


def noise_bias(adam: NoiseAndDecaysFlags = _SKEWED, output: OutputFlags = _TABLE, power: float = 1.2) -> None:
    """Compute Adam's bias under skewed noise: its mean update where the mean gradient is 0, and the power without it.

    A gradient that never changes has the update 1 or −1. The signs are those of the law's values: under two-point:0.03
    the rare ones are above 0.

    Parameters
    ----------
    adam
        The law of the noise, as two-point:0.03, and Adam's decay rates.
    output
        Where the result goes.
    power
        Power p in (0, 10].
    """
    law, beta1, beta2 = adam.noise_law, adam.beta1, adam.beta2
    bounds = (1.0, 4.0)
    values: dict[str, Any] = {
        "bias_at_1": biased.noise_bias(1.0, law, beta1=beta1, beta2=beta2),
        "bias": biased.noise_bias(power, law, beta1=beta1, beta2=beta2),
        "unbiased_power": biased.unbiased_power(law, beta1=beta1, beta2=beta2, bounds=bounds),
    }
    columns = dict(
        zip(("bias at p = 1", f"bias at p = {power:g}", "p without bias"), values.values(), strict=True)
    )
    title = f"Adam's mean update under {adam.law} noise alone, β = ({beta1:g}, {beta2:g})"
    table = result_table(title, {name: [value] for name, value in columns.items()})
    if values["unbiased_power"] is None:
        same = f"the bias has the same sign at p = {bounds[0]:g} and {bounds[1]:g}"
        table.caption = "a symmetric law: there is no bias at any power" if law.symmetric else same
    output.show({**values, "power": power, "law": adam.law, "beta1": beta1, "beta2": beta2}, table)

"""φ_p for JAX, as a transformation of optax; needs no torch."""

from typing import Any

from gradpower.tools.errors import InputError, real

try:
    import jax
    import jax.numpy as jnp
    import optax  # type: ignore[import-untyped]
except ImportError as error:
    raise ImportError("gradpower.jax needs jax and optax: pip install 'gradpower[jax]'") from error


def sign_power(power: float | optax.Schedule, *, offset: float = 0.0) -> optax.GradientTransformation:
    """Return the transformation g → φ_p(g) = sign(g)·(|g| + δ)^p of every leaf, to chain before an optimizer.

    Parameters
    ----------
    power : float or callable
        The power p, finite and > 0, or a schedule: how many updates came before → p. What it returns is not checked.
    offset : float
        δ, finite and >= 0. With p = 1 and δ = 0 the updates are returned as they are.

    Notes
    -----
    0 → 0, ±inf → ±inf, NaN → NaN. float16 and bfloat16 are computed in float32; as in `gradpower.sign_power`, what is
    too large for float16 becomes ±65504. optax.adamw adds ε where torch's AdamW does and multiplies the weight decay
    by the learning rate too, but its default decay is 1e-4, not 0.01.

    Examples
    --------
    >>> optimizer = optax.chain(sign_power(1.2), optax.adamw(1e-3, b2=0.95, weight_decay=0.1))
    """
    # Arrays, as optax.inject_hyperparams passes them, have no value yet while JAX traces.
    if not (callable(power) or isinstance(power, jax.Array)):
        real("power", power, gt=0)
    if not isinstance(offset, jax.Array):
        real("offset", offset, ge=0)
    identity = [x for x in (power, offset) if isinstance(x, float | int)] == [1, 0]

    def image(g: Any, p: Any) -> Any:
        if not jnp.issubdtype(g.dtype, jnp.floating):
            raise InputError("updates", f"an array of {g.dtype}", "floating-point numbers")
        wide = g.astype(jnp.promote_types(g.dtype, jnp.float32))
        result = jnp.sign(wide) * (jnp.abs(wide) + offset) ** p
        if g.dtype == jnp.float16:
            result = jnp.where(jnp.isinf(wide), wide, jnp.clip(result, -65504, 65504))
        return result.astype(g.dtype)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        p = power(state.count) if callable(power) else power
        images = updates if identity else jax.tree.map(lambda g: image(g, p), updates)
        return images, optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return optax.GradientTransformation(lambda _: optax.ScaleByScheduleState(jnp.int32(0)), update)

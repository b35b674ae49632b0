"""`gradpower.jax.sign_power` against the transform and the optimizers for torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import gradpower
from gradpower import AdamWPower
from gradpower.tools.errors import InputError

pytestmark = pytest.mark.slow

jax = pytest.importorskip("jax", reason="needs jax")
jnp = jax.numpy
optax = pytest.importorskip("optax", reason="needs optax")
from gradpower.jax import sign_power  # noqa: E402

POWERS = (0.3, 0.5, 1.2, 2.0, 3.0)


def gradients(dtype: Any = np.float32) -> np.ndarray:
    rng = np.random.default_rng(0)
    sizes = rng.standard_normal(1000) * 10.0 ** rng.uniform(-5, 3, 1000)
    return np.concatenate([sizes, [0.0, -0.0, np.inf, -np.inf, np.nan]]).astype(dtype)


def images(g: Any, power: Any, **options: Any) -> Any:
    transform = sign_power(power, **options)
    return transform.update(g, transform.init(g))[0]


def torch_images(g: np.ndarray, power: float, dtype: torch.dtype, **options: Any) -> np.ndarray:
    return gradpower.sign_power(torch.tensor(g).to(dtype), power, **options).double().numpy()


@pytest.mark.parametrize("offset", [0.0, 1e-8])
@pytest.mark.parametrize("power", POWERS)
def test_images_are_those_of_torch(power: float, offset: float) -> None:
    g = gradients()
    ours = np.asarray(images(jnp.asarray(g), power, offset=offset))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, torch_images(g, power, torch.float32, offset=offset), rtol=1e-6)
    assert np.array_equal(np.signbit(ours[:-1]), np.signbit(g[:-1]))
    assert ours[1000] == ours[1001] == 0


@pytest.mark.parametrize("power", POWERS)
def test_float64_leaves_stay_so(power: float) -> None:
    g = gradients(np.float64)
    with jax.enable_x64(True):
        ours = np.asarray(images(jnp.asarray(g), power))
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, torch_images(g, power, torch.float64), rtol=1e-14)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_narrow_leaves_are_rounded_once(name: str, power: float) -> None:
    """In both libraries float32 is rounded to nearest; the two values of float32 differ by rounding, seldom seen."""
    g = np.asarray(gradients(), dtype=jnp.dtype(name)).astype(np.float32)
    ours = images(jnp.asarray(g, dtype=name), power)
    assert ours.dtype == name
    theirs = torch_images(g, power, getattr(torch, name))
    ours = np.asarray(ours).astype(np.float64)
    same = (ours == theirs) | np.isnan(theirs)
    assert same.mean() > 0.995
    np.testing.assert_allclose(ours, theirs, rtol=float(jnp.finfo(name).eps), atol=1e-7)


def test_what_float16_cannot_hold_becomes_its_largest_number() -> None:
    g = jnp.array([300.0, -300.0, jnp.inf, -jnp.inf], dtype=jnp.float16)
    assert images(g, 2.0).tolist() == [65504, -65504, np.inf, -np.inf]


@pytest.mark.parametrize("power", [1, 1.0])
def test_power_one_is_the_identity(power: float) -> None:
    g = {"weight": jnp.array([1e-40, -2.5, 0.0]), "bias": jnp.array([3.0], dtype=jnp.bfloat16)}
    ours = images(g, power)
    assert ours["weight"] is g["weight"]
    assert ours["bias"] is g["bias"]


def test_power_one_with_an_offset_is_none() -> None:
    np.testing.assert_allclose(images(jnp.array([1.0, -1.0, 0.0]), 1.0, offset=0.5), [1.5, -1.5, 0.0])


@pytest.mark.parametrize(
    ("power", "offset", "message"),
    [
        (0.0, 0.0, r"power: 0\.0 is not allowed; expected a finite number > 0"),
        (float("nan"), 0.0, "power: nan"),
        (np.float64(-1.2), 0.0, r"power: -1\.2"),
        (1.2, np.float64("nan"), "offset: nan"),
        (float("inf"), 0.0, "power: inf"),
        (1.2, -1e-8, r"offset: -1e-08 is not allowed; expected a finite number >= 0"),
        ("1.2", 0.0, "power: '1.2'"),
        (None, 0.0, "power: None"),
        (1.2, "1", "offset: '1'"),
    ],
)
def test_other_numbers_are_errors(power: float, offset: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sign_power(power, offset=offset)


@pytest.mark.parametrize("trace", [jax.jit, lambda function: function])
def test_schedules_see_the_number_of_updates_before(trace: Callable[..., Any]) -> None:
    transform = sign_power(optax.linear_schedule(2.0, 1.0, 2))
    state, update = transform.init(jnp.zeros(1)), trace(transform.update)
    seen = []
    for _ in range(4):
        image, state = update(jnp.array([-4.0]), state)
        seen.append(float(image[0]))
    assert seen == [-16, -8, -4, -4]


def test_power_can_be_injected_and_changed_under_jit() -> None:
    transform = optax.inject_hyperparams(sign_power)(power=2.0)
    state, update = transform.init(jnp.zeros(1)), jax.jit(transform.update)
    assert update(jnp.array([-3.0]), state)[0].tolist() == [-9]
    state.hyperparams["power"] = jnp.float32(3.0)
    assert update(jnp.array([-3.0]), state)[0].tolist() == [-27]


def torch_trajectory(power: Callable[[int], float], dtype: torch.dtype, data: np.ndarray) -> np.ndarray:
    p = torch.nn.Parameter(torch.linspace(-1, 1, data.shape[1], dtype=dtype))
    optimizer = AdamWPower([p], lr=0.02, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.1, power=power(0))
    for step, row in enumerate(data):
        optimizer.param_groups[0]["power"] = power(step)
        p.grad = p.detach() - torch.tensor(row, dtype=dtype)
        optimizer.step()
    return p.detach().double().numpy()


def optax_trajectory(power: Any, dtype: Any, data: np.ndarray) -> np.ndarray:
    optimizer = optax.chain(sign_power(power), optax.adamw(0.02, b1=0.9, b2=0.95, eps=1e-6, weight_decay=0.1))
    p = jnp.linspace(-1, 1, data.shape[1], dtype=dtype)
    state = optimizer.init(p)
    for row in data:
        updates, state = optimizer.update(p - jnp.asarray(row, dtype=dtype), state, p)
        p = optax.apply_updates(p, updates)
    assert p.dtype == dtype
    return np.asarray(p).astype(np.float64)


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-14), ("float32", 2e-6)])
@pytest.mark.parametrize("power", [1.2, pytest.param(lambda step: 1.4 - 0.02 * step, id="scheduled")])
def test_twenty_steps_of_adamw_are_those_of_adamw_power(power: Any, dtype: str, bound: float) -> None:
    """The smallest gradients feel ε = 1e-6, and a weight decay of 0.1 moves all parameters."""
    data = 0.01 * np.random.default_rng(1).standard_normal((20, 50))
    with jax.enable_x64(dtype == "float64"):
        ours = optax_trajectory(power, jnp.dtype(dtype), data)
    theirs = torch_trajectory(power if callable(power) else lambda _: power, getattr(torch, dtype), data)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound)


def run_python(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr.strip().splitlines()[-1] if done.stderr else done.stdout


def test_gradpower_imports_no_jax() -> None:
    script = "import sys, gradpower; gradpower.AdamWPower; print({'jax', 'optax'} & set(sys.modules))"
    assert run_python(script) == "set()\n"


def test_works_without_torch() -> None:
    script = (
        "import sys; sys.modules['torch'] = None; import jax.numpy as jnp; from gradpower.jax import sign_power; "
        "t = sign_power(2.0); print(t.update(jnp.array([-3.0]), t.init(None))[0].tolist())"
    )
    assert run_python(script) == "[-9.0]\n"


@pytest.mark.parametrize("missing", ["jax", "optax"])
def test_without_its_libraries_one_line_says_what_to_install(missing: str) -> None:
    script = f"import sys; sys.modules['{missing}'] = None; import gradpower.jax"
    line = "ImportError: gradpower.jax needs jax and optax: pip install 'gradpower[jax]'"
    assert run_python(script) == line


def test_whole_numbers_are_no_gradients():
    transformation = sign_power(1.2)
    with pytest.raises(InputError, match=r"int32.*floating"):
        transformation.update(jnp.array([1, 2], dtype=jnp.int32), transformation.init(None))

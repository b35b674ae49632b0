"""The CPU's fused step of AdamW or Adam on powered gradients: C, compiled on first use.

The library lies in `$GRADPOWER_CACHE_DIR`, else `$XDG_CACHE_HOME/gradpower`, else `~/.cache/gradpower`, under
a name that holds the source, the compiler and the processor. A directory that others may write to, or that
cannot be written, is left alone: a private temporary one serves then.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.nn import Parameter

from gradpower.inputs import real, refusal
from gradpower.layout import same_layout

# No errno, so that sqrtf is one instruction; no watched exception flags, so that branches become selections;
# products and sums fuse only where the source says so. Each keeps infinities, NaN and the sign of 0.
_FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-shared", "-fPIC")
_TRIES = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native", "-fopenmp"), ("-mcpu=native",))
# Lines of /proc/cpuinfo on x86, ARM, RISC-V and POWER; none that changes while it runs, as "cpu MHz" does.
_CPU_KEYS = {"vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "isa", "cpu"}
_CPU_KEYS |= {f"CPU {name}" for name in ("implementer", "architecture", "variant", "part", "revision")}
_LARGEST_POWER = 1e4
_KINDS, _FLOAT, _STRIDED = (Tensor, Parameter), torch.float32, torch.strided


class _Options(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_double) for name in ("power", "offset", "lr", "beta1", "beta2", "weight_decay")),
        *((name, ctypes.c_double) for name in ("epsilon", "gradient_scale", "powered_scale")),
        *((name, ctypes.c_int64) for name in ("decoupled", "threads")),
    )


class _Kernel(NamedTuple):
    library: ctypes.CDLL | None
    reason: str


def available() -> bool:
    """Whether the compiled kernel can be used on this machine; the first call compiles it, in about a second.

    Examples
    --------
    >>> available() == (reason() == "")
    True
    """
    return _kernel().library is not None


def reason() -> str:
    """Why the kernel cannot be used on this machine; empty if it can.

    Examples
    --------
    >>> isinstance(reason(), str)
    True
    """
    return _kernel().reason


def supports(params: Sequence[Tensor], *others: Sequence[Tensor]) -> bool:
    """Whether the kernel takes these tensors: dense float32 on the CPU, gradients and moments laid out as parameters.

    Subclasses of Tensor other than Parameter (DTensor among them) and sparse tensors are not taken, nor are
    views that overlap or have gaps.

    Examples
    --------
    >>> p = torch.zeros(3, 4)
    >>> supports([p], [torch.ones(3, 4)]), supports([p], [torch.ones(4, 3).T])
    (True, False)
    >>> supports([p.T], [torch.ones(3, 4).T]), supports([p[:, :2]], [torch.ones(3, 4)[:, :2]])
    (True, False)
    """
    return all(map(_plain, params)) and all(
        len(params) == len(tensors) and all(map(_plain, tensors)) and all(map(same_layout, params, tensors))
        for tensors in others
    )


def _plain(tensor: Tensor) -> bool:
    return (
        type(tensor) in _KINDS
        and tensor.dtype is _FLOAT
        and tensor.layout is _STRIDED
        and tensor.is_cpu
        and not tensor.is_neg()
    )


def adamw_power_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    state_steps: Sequence[Tensor],
    *,
    power: float,
    offset: float,
    lr: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    epsilon: float,
    maximize: bool,
    decoupled: bool,
    gradient_scale: float = 1.0,
    powered_scale: float = 1.0,
) -> None:
    """One step of AdamW, or of Adam, on powered gradients, in place and in one pass over memory.

    AdamWPower of Section 2 of the paper. With g' = gradient_scale·g (its negative to maximize),
    `x = powered_scale·sign(g')·(|g'| + offset)^power`, 0 where g = 0; infinities and NaN pass through.
    Then as torch: decoupled, `θ ← (1 − lr·weight_decay)·θ`, else `x ← x + weight_decay·θ`;
    `m ← β1·m + (1−β1)·x`, `v ← β2·v + (1−β2)·x²`, `θ ← θ − lr/(1−β1^t)·m/(√(v/(1−β2^t)) + ε)`.

    x is within 3e-7 of itself for powers up to 4, in proportion to the power above; it is 0 where |g|, |g'|
    or |x| is below 1.18e-38, the smallest normal float32. The number of threads changes no bit.

    Parameters
    ----------
    params, grads, exp_avgs, exp_avg_sqs : sequences of Tensor
        θ, g, m and v of each parameter, laid out alike, as `supports` asks. The gradients are only read.
    state_steps : sequence of Tensor
        The step t of each parameter, 0-dimensional float32; counted up first.
    power, offset, lr, beta1, beta2, weight_decay, epsilon, maximize, decoupled
        As in `gradpower.AdamWPower`; power at most 10,000.
    gradient_scale, powered_scale : float
        Factors of the gradient before the power, and of the powered gradient.

    Raises
    ------
    RuntimeError
        If the kernel is not available.
    ValueError
        If the lists differ in length, tensors in layout, or the power is out of range.

    Examples
    --------
    >>> p, m, v, t = torch.ones(2), torch.zeros(2), torch.zeros(2), torch.tensor(0.0)
    >>> if available():
    ...     adamw_power_([p], [torch.tensor([4.0, -9.0])], [m], [v], [t], power=0.5, offset=0.0, lr=0.1,
    ...         beta1=0.9, beta2=0.95, weight_decay=0.0, epsilon=0.0, maximize=False, decoupled=True)
    ...     assert torch.allclose(torch.cat([p, m]), torch.tensor([0.9, 1.1, 0.2, -0.3]))
    """
    kernel = _kernel()
    if kernel.library is None:
        raise RuntimeError(f"the compiled kernel is not available: {kernel.reason}")
    real("power", power, f"a number in (0, {_LARGEST_POWER:g}]", low=0, open_low=True)
    if power > _LARGEST_POWER:
        raise refusal("power", power, f"a number in (0, {_LARGEST_POWER:g}]", ValueError)
    _check_tensors(params, grads, exp_avgs, exp_avg_sqs, state_steps)
    if not params:
        return
    increment_version([*params, *exp_avgs, *exp_avg_sqs, *state_steps])
    scale = -gradient_scale if maximize else gradient_scale
    options = _Options(
        *(power, offset, lr, beta1, beta2, weight_decay, epsilon, scale, powered_scale),
        *(decoupled, torch.get_num_threads()),
    )
    sizes = array("q", [p.numel() for p in params])
    lists = (params, grads, exp_avgs, exp_avg_sqs, state_steps)
    addresses = [array("Q", [tensor.data_ptr() for tensor in tensors]) for tensors in lists]
    starts = [ctypes.c_void_p(numbers.buffer_info()[0]) for numbers in (*addresses, sizes)]
    kernel.library.gradpower_adamw(ctypes.c_int64(len(params)), *starts, ctypes.byref(options))


def _check_tensors(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    state_steps: Sequence[Tensor],
) -> None:
    alike = "float32 CPU tensors without gaps, laid out as the parameters, one for each"
    plain = all(map(_plain, params))
    for name, others in (("grads", grads), ("exp_avgs", exp_avgs), ("exp_avg_sqs", exp_avg_sqs)):
        if not (
            plain
            and len(others) == len(params)
            and all(map(_plain, others))
            and all(map(same_layout, params, others))
        ):
            shown = [(tuple(t.shape), t.layout, t.dtype) for t in others[:3]]
            raise refusal(name, shown, alike, ValueError)
    if len(state_steps) != len(params) or not all(_plain(t) and t.ndim == 0 for t in state_steps):
        wanted = "0-dimensional float32 CPU tensors, one for each"
        raise refusal("state_steps", list(state_steps[:3]), wanted, ValueError)


@functools.cache
def _kernel() -> _Kernel:
    """The loaded library, from the cache or compiled, or why there is none."""
    if os.name != "posix":
        return _Kernel(None, f"it is built on POSIX systems only, not on {os.name}")
    source = Path(__file__).with_name("adamw_cpu.c").read_bytes()
    try:
        compiler = _compiler()
        target = "-".join(("adamw", _digest(source, repr((_FLAGS, _TRIES)), _processor())))
        directory = _cache_directory()
        if isinstance(compiler, str):
            return _cached_without_compiler(directory, target, compiler)
        name = f"{target}-{_digest(*compiler, _version(compiler))}.so"
        if directory is not None:
            library = _load(directory / name) if (directory / name).exists() else None
            return _Kernel(library, "") if library else _build(compiler, source, directory, name)
        with tempfile.TemporaryDirectory(prefix="gradpower-") as private:
            return _build(compiler, source, Path(private), name)
    except (OSError, subprocess.SubprocessError) as error:
        return _Kernel(None, f"{type(error).__name__}: {error}")


def _digest(*parts: str | bytes) -> str:
    joined = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(joined).hexdigest()[:16]


def _compiler() -> list[str] | str:
    """The compiler's command, or why there is none."""
    named = shlex.split(os.environ.get("CC", ""))
    for candidate in named[:1] or ("cc", "gcc", "clang"):
        path = shutil.which(candidate)
        if path:
            return [path, *named[1:]]
    return f"no C compiler: {'CC names ' + named[0] if named else 'cc, gcc, clang'}, not found on PATH"


def _version(compiler: list[str]) -> str:
    answer = subprocess.run(
        [compiler[0], "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    return answer.stdout


def _processor() -> str:
    """What tells the processor's model and instruction sets: code made for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return repr(platform.uname())
    told = {line for line in lines if line.split(":")[0].strip() in _CPU_KEYS}
    return "\n".join([platform.machine(), *sorted(told)])


def _cache_directory() -> Path | None:
    """The cache directory if it is, or can be made, this user's alone to write to."""
    base = os.environ.get("GRADPOWER_CACHE_DIR")
    try:
        if base:
            directory = Path(base)
        else:
            directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradpower"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return directory if _private(directory) and os.access(directory, os.W_OK | os.X_OK) else None


def _private(path: Path) -> bool:
    status = path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _cached_without_compiler(directory: Path | None, target: str, why: str) -> _Kernel:
    for path in sorted(directory.glob(f"{target}-*.so")) if directory else ():
        library = _load(path)
        if library:
            return _Kernel(library, "")
    return _Kernel(None, why)


def _load(path: Path) -> ctypes.CDLL | None:
    """The library at `path`; None if it is not this user's alone or is damaged."""
    if not _private(path):
        return None
    try:
        library = ctypes.CDLL(str(path))
        library.gradpower_adamw.restype = None
    except (OSError, AttributeError):
        return None
    return library


def _build(compiler: list[str], source: bytes, directory: Path, name: str) -> _Kernel:
    """Compile in a temporary directory, and move the library into place: no reader sees half of it."""
    said = ""
    with tempfile.TemporaryDirectory(prefix="build-", dir=directory) as workshop:
        made = Path(workshop) / name
        for flags in _TRIES:
            command = [*compiler, *_FLAGS, *flags, "-x", "c", "-", "-o", str(made), "-lm"]
            run = subprocess.run(command, input=source, capture_output=True, timeout=300, check=False)
            if run.returncode == 0:
                made.chmod(0o700)
                made.replace(directory / name)
                library = _load(directory / name)
                if library:
                    return _Kernel(library, "")
                said = said or "the compiled library cannot be loaded"
            said = said or run.stderr.decode(errors="replace").strip()[:500]
    return _Kernel(None, f"{compiler[0]} does not compile it: {said}")

"""The CPU's fused step of AdamW or Adam on powered gradients: C, compiled in half a second by each process.

Nothing is kept between processes: a library in a cache could be damaged, made for another processor or by another user.
"""

import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from gradpower.kernels import Numbers
from gradpower.kernels.layout import fit_together

# No errno, so that sqrtf is one instruction; no watched exception flags, so that branches become selections;
# products and sums fuse only where the source says so. Each keeps infinities, NaN and the sign of 0.
_FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-shared", "-fPIC")
_TRIES = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native", "-fopenmp"), ("-mcpu=native",))


class _Options(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_double) for name in ("power", "offset", "lr", "beta1", "beta2", "weight_decay")),
        *((name, ctypes.c_double) for name in ("epsilon", "gradient_scale", "powered_scale")),
        *((name, ctypes.c_int64) for name in ("decoupled", "threads")),
    )


def reason() -> str:
    """Why the kernel cannot be used on this machine; empty if it can."""
    kernel = _kernel()
    return kernel if isinstance(kernel, str) else ""


def supports(params: Sequence[Tensor], *others: Sequence[Tensor]) -> bool:
    """Whether the kernel takes these tensors: plain float32 on the CPU that `fit_together`."""
    return fit_together(params, *others, dtypes=(torch.float32,), device=torch.device("cpu"))


def adamw_power_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    state_steps: Sequence[Tensor],
    **numbers: Unpack[Numbers],
) -> bool:
    """Take the step of `gradpower.kernels`, and return whether it was taken; no tensors, power at most 10,000.

    x is within 3e-7 of itself for powers up to 4, in proportion to the power above; it is 0 where |g|, |g'| or |x| is
    below 1.18e-38, the smallest normal float32. The number of threads changes no bit.
    """
    kernel = _kernel()
    fits = supports(params, grads, exp_avgs, exp_avg_sqs) and len(state_steps) == len(params)
    fits = fits and supports(state_steps) and all(t.numel() == 1 for t in state_steps)
    if isinstance(kernel, str) or not fits or not 0 < numbers["power"] <= 10_000:
        return False
    increment_version([*params, *exp_avgs, *exp_avg_sqs, *state_steps])
    values: dict[str, Any] = {**numbers}
    if values.pop("maximize"):
        values["gradient_scale"] *= -1
    options = _Options(**values, threads=torch.get_num_threads())
    sizes = array("q", [p.numel() for p in params])
    lists = (params, grads, exp_avgs, exp_avg_sqs, state_steps)
    addresses = [array("Q", [tensor.data_ptr() for tensor in tensors]) for tensors in lists]
    starts = [ctypes.c_void_p(numbers.buffer_info()[0]) for numbers in (*addresses, sizes)]
    kernel.gradpower_adamw(ctypes.c_int64(len(params)), *starts, ctypes.byref(options))
    return True


@functools.cache
def _kernel() -> ctypes.CDLL | str:
    """The library, compiled for this process, or why there is none."""
    if os.name != "posix":
        return f"it is built on POSIX systems only, not on {os.name}"
    try:
        compiler = _compiler(os.environ.get("CC", ""))
    except OSError as error:
        return str(error)
    problems = []
    # A place may be full, or mounted so that nothing is executed from it.
    for place in (os.environ.get("TMPDIR") or "/tmp", "/dev/shm", os.environ.get("HOME") or "."):
        try:
            # On a network's file system a library in use cannot be removed; it goes with the process.
            with tempfile.TemporaryDirectory("", "gradpower-", place, ignore_cleanup_errors=True) as folder:
                return _compiled(compiler, Path(folder) / "adamw.so")
        except (AttributeError, OSError, subprocess.SubprocessError) as error:
            problems.append(str(error) or repr(error))
    return problems[-1]


def _compiler(cc: str) -> list[str]:
    """The command that `cc` names, or that of the first compiler found."""
    try:
        named = shlex.split(cc)
    except ValueError as error:
        raise OSError(f"CC={cc} is no command: {error}") from error
    for candidate in named[:1] or ("cc", "gcc", "clang"):
        path = shutil.which(candidate)
        if path:
            return [path, *named[1:]]
    tried = f"CC names {named[0]}" if named else "cc, gcc, clang"
    raise OSError(f"no C compiler: {tried}, not found on PATH")


def _compiled(compiler: list[str], made: Path) -> ctypes.CDLL:
    """Compile with the first flags of which a library comes that can be loaded."""
    source = Path(__file__).with_name("adamw_cpu.c").read_bytes()
    problems = []
    environment = {**os.environ, "TMPDIR": str(made.parent)}
    for flags in _TRIES:
        command = [*compiler, *_FLAGS, *flags, "-x", "c", "-", "-o", str(made), "-lm"]
        run = subprocess.run(command, input=source, env=environment, capture_output=True, timeout=300)
        if run.returncode:
            message = run.stderr.decode(errors="replace").strip()[:500]
            problems.append(f"{compiler[0]} does not compile it: {message}")
            continue
        try:
            library = ctypes.CDLL(str(made))
        except OSError as error:
            problems.append(f"the compiled library cannot be loaded: {error}")
            continue
        library.gradpower_adamw.restype = None
        return library
    raise OSError(problems[0])

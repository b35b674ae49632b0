"""Not run by the tests: needs Megatron-LM, main of August 2026 (core 0.20), and GPUs.

The hook is torch's step pre-hook, on the optimizers within Megatron's: it comes after their reduction, unscaling and
clipping, and before Adam. In Megatron's folder: `PYTHONPATH=. torchrun … megatron_lm.py pretrain_gpt.py ARGUMENTS`.
"""

import runpy
import sys
from typing import Any

from megatron.training import training

from gradpower import sign_power_

POWER = 1.2
build = training.get_megatron_optimizer


def apply_power(optimizer: Any, *_: Any) -> None:
    """Replace the gradients in place; Megatron zeroes its buffers after the step."""
    for p in [p for group in optimizer.param_groups for p in group["params"]]:
        # Megatron-FSDP and the precision-aware optimizer read `decoupled_grad`, the others `grad`.
        gradients = [g for g in (getattr(p, "decoupled_grad", None), p.grad) if g is not None]
        if gradients:
            sign_power_(gradients[0], POWER)


def hooked(optimizer: Any) -> Any:
    """Return an optimizer of Megatron after adding the hook to those of torch within it."""
    if hasattr(optimizer, "chained_optimizers"):
        for part in optimizer.chained_optimizers:
            hooked(part)
    elif optimizer.optimizer is not None:  # a process may have no parameters
        optimizer.optimizer.register_step_pre_hook(apply_power)
    return optimizer


training.get_megatron_optimizer = lambda *args, **kwargs: hooked(build(*args, **kwargs))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")

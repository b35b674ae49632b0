"""Try `gradpower.powered` on every optimizer class of six packages, and write docs/compatibility.md.

    python benchmarks/compatibility.py [--json]

needs torch, pytorch_optimizer, torchao, bitsandbytes, schedulefree and lion_pytorch; one that is missing is left out.
With --json the results are printed instead. It takes about a minute.

Each class takes five steps in float32, by itself with gradients to which `sign_power` was applied by hand, and
powered with the raw ones; at p = 1 the base has the raw ones too. A class whose step takes a closure is tried with
one as well. All random numbers of a step are the same in both runs.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # torchao would compile every step

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradpower import powered, sign_power

PAGE = Path(__file__).parents[1] / "docs" / "compatibility.md"
# The name on PyPI, and the module.
PACKAGES = {
    "torch": "torch.optim",
    "pytorch_optimizer": "pytorch_optimizer",
    "torchao": "torchao.optim",
    "bitsandbytes": "bitsandbytes.optim",
    "schedulefree": "schedulefree",
    "lion-pytorch": "lion_pytorch",
}
# What constructors ask for beside the parameters.
REQUIRED = {"lr": 1e-3, "num_iterations": 100, "num_data": 100}
STEPS, POWER = 5, 1.3
# Largest difference of a parameter, over the largest change of one, that is rounding.
ROUNDING = 1e-5
Feed = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Verdict:
    """What became of one class: how it ended, and what is to be said of it."""

    package: str
    name: str
    label: str
    detail: str = ""


def classes(package: str, module: Any) -> Iterator[tuple[str, type[Any]]]:
    """Yield the optimizer classes that a package defines itself."""
    for name, cls in sorted(vars(module).items()):
        if inspect.isclass(cls) and issubclass(cls, Optimizer) and cls is not Optimizer:
            if cls.__module__.split(".")[0] == module.__name__.split(".")[0]:
                yield name, cls

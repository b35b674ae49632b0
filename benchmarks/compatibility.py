"""Try `gradpower.powered` on every optimizer class of six packages, and write docs/compatibility.md.

    python benchmarks/compatibility.py [--json]

needs torch, pytorch_optimizer, torchao, bitsandbytes, schedulefree, lion-pytorch and einops; a package that is missing
is left out. With --json the verdicts are printed instead. It takes about a minute.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from textwrap import shorten
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradpower import powered, sign_power
from gradpower.tools.errors import InputError

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
# Arguments without a default, and bitsandbytes' momentum, whose default it does not support.
REQUIRED = {"lr": 1e-3, "num_iterations": 100, "num_data": 100, "momentum": 0.9}
# Some optimizers change nothing in their first ten steps.
STEPS, POWER = 12, 1.3
# Matrices of 4096 entries, from which on some keep their state in 8 bits.
PROBLEMS = {
    "tensors": [(64, 64), (8, 4), (16,)],
    "matrices": [(8, 512), (512, 8)],
    "sparse gradients": [(64, 64)],
    "gradients with a graph": [(64, 64), (8, 4), (16,)],
}
# Largest difference of a parameter, over the largest change of one, that is rounding.
ROUNDING = 1e-4
# Why it is so, or what to do.
HINTS = {
    "Kron": "its own steps differ as much, by where its tensors lie in memory",
    "SafeFP16Optimizer": "not initialised as an Optimizer; give it a powered one",
    "CPUOffloadOptimizer": "needs a GPU; give it a powered class there: `(params, AdamWPower, power=1.2)`",
}
LABELS = {
    "same": "the same",
    "rounding": "the same within rounding",
    "no effect": "no effect in these steps",
    "ignored": "**the power is ignored**",
    "differs": "**differs**",
    "fails": "**the powered class fails**",
    "refused": "refused",
    "base fails": "the base itself fails",
}

TEXT = """# Which optimizers take a power

Written by `python benchmarks/compatibility.py`, which tries `powered(cls)` on every optimizer class of these packages.

Each class takes {steps} steps in float32 on the CPU, with its default settings, once powered and once by itself on
gradients that `sign_power` has changed, with a closure too if its step takes one. "The same" means bit for bit, at
p = 1 and at p = {power}.

{counts}

All but those that are the same:

{others}

The same:

{same}
"""


@dataclass(frozen=True)
class Verdict:
    """What became of one class."""

    package: str
    name: str
    label: str
    detail: str = ""


class Model(nn.Module):
    """A problem: parameters, and for every step a loss with gradients 0.1·θ + noise."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, random = kind, torch.Generator().manual_seed(0)
        self.weights = nn.ParameterList(torch.randn(shape, generator=random) for shape in PROBLEMS[kind])

    def forward(self, step: int) -> Tensor:
        random = torch.Generator().manual_seed(1 + step)
        noise = [torch.randn(p.shape, generator=random) for p in self.weights]
        if self.kind == "sparse gradients":
            rows = torch.randint(64, (16,), generator=random)
            (table,) = self.weights
            return (nn.functional.embedding(rows, table, sparse=True) * noise[0][:16]).sum()
        return torch.stack(
            [(0.05 * p**2 + n * p).sum() for p, n in zip(self.weights, noise, strict=True)]
        ).sum()


def build(cls: Any, base: Any, model: Model, **power: float) -> Any:
    """Make an optimizer of a base class or its powered one, with what the base asks for."""
    inner = torch.optim.SGD(model.weights, lr=0.01, momentum=0.9)
    radius = SimpleNamespace(step=lambda: 0.05)
    known = {**REQUIRED, "model": model, "base_optimizer": inner, "rho_scheduler": radius}
    first, *rest = list(inspect.signature(base.__init__).parameters.values())[1:]
    asked = {p.name for p in rest if p.default is p.empty or (p.name, p.default) == ("momentum", 0)}
    arguments = {name: value for name, value in known.items() if name in asked}
    subject: Any = list(model.weights)
    if first.name in ("model", "optimizer"):
        subject = {"model": model, "optimizer": inner}[first.name]
    elif ".muon." in base.__module__:
        matrix, *_, vector = model.weights
        subject = [{"params": [matrix], "use_muon": True}, {"params": [vector], "use_muon": False}]
    return cls(subject, **arguments, **power)


def trajectory(
    make: Callable[[Model], Any], kind: str, power_by_hand: float = 1.0, closure: bool = False
) -> list[list[Tensor]]:
    """Return the parameters after each step; the power by hand is applied as autograd computes a gradient."""
    torch.manual_seed(0)
    model = Model(kind)
    if power_by_hand != 1:
        for p in model.weights:
            p.register_hook(lambda g: sign_power(g, power_by_hand))
    optimizer, states = make(model), []
    if hasattr(optimizer, "train"):
        optimizer.train()
    for step in range(STEPS):
        torch.manual_seed(step)

        def evaluate(step: int = step) -> Tensor:
            model.zero_grad()
            loss: Tensor = model(step)
            loss.backward(create_graph=kind == "gradients with a graph")
            return loss.detach()

        if hasattr(optimizer, "fused_backward"):
            optimizer.fused_backward(model(step), 0.01)
        elif hasattr(optimizer, "set_closure"):
            optimizer.set_closure(lambda loss, _: loss, step, None)
            optimizer.step()
        elif closure:
            optimizer.step(evaluate)
        else:
            evaluate()
            optimizer.step()
        states.append([p.detach().clone() for p in model.weights])
    return states


def difference(ours: list[list[Tensor]], theirs: list[list[Tensor]], kind: str) -> float:
    """Return the largest difference after any step, over the largest change of a parameter."""
    pairs = [(a, b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True)]
    largest = max(float((a - b).abs().max()) for a, b in pairs)
    change = max(float((b - s).abs().max()) for b, s in zip(theirs[-1], Model(kind).weights, strict=True))
    return largest if not largest else largest / max(change, 1e-30)


def errors(module: str) -> tuple[type[Exception], ...]:
    """Return what optimizers raise: built-in errors, and those that their package derives from Exception."""
    builtin = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError)
    own = [c for c in Exception.__subclasses__() if c.__module__.split(".")[0] == module.split(".")[0]]
    return (*builtin, RuntimeError, TypeError, ValueError, *own)


def solvable(base: Any, caught: tuple[type[Exception], ...]) -> tuple[str, str]:
    """Return the first problem that the base solves by itself, or "" and its error on the first one."""
    failure = ""
    for kind in PROBLEMS:
        try:
            trajectory(lambda model: build(base, base, model), kind)
        except caught as error:
            failure = failure or f"{type(error).__name__}: {error}"
        else:
            return kind, ""
    return "", failure


def judge(package: str, name: str, base: Any) -> Verdict:
    """Try one class."""
    caught = errors(PACKAGES[package])
    kind, failure = solvable(base, caught)
    try:
        cls = powered(base)
    except InputError as error:
        reason = re.sub(r".*expected (an optimizer that takes .*\((.*)\)$)?", r"\2", str(error))
        also = "; yet the base steps without a closure" if kind and "closure" in reason else ""
        return Verdict(package, name, "refused", reason + also)
    try:
        label, detail = compare(cls, base, kind) if kind else ("base fails", failure)
    except caught as error:
        label, detail = "fails", f"{type(error).__name__}: {error}"
    hint = "" if label == "same" else HINTS.get(name, "")
    detail = shorten(detail, 120, placeholder=" …")
    return Verdict(package, name, label, "; ".join(filter(None, (detail, hint))))


def compare(cls: Any, base: Any, kind: str) -> tuple[str, str]:
    """Return the label of a powered class and, if there is a difference, how large it is."""
    takes_closure = "closure" in inspect.signature(base.step).parameters
    plain, label, detail = trajectory(lambda model: build(base, base, model), kind), "no effect", ""
    for power in (1.0, POWER):
        for closure in (False, True) if takes_closure else (False,):
            hand = trajectory(lambda model: build(base, base, model), kind, power, closure)
            ours = trajectory(lambda model, p=power: build(cls, base, model, power=p), kind, 1.0, closure)
            off = difference(ours, hand, kind)
            if off > ROUNDING and not difference(ours, plain, kind):
                return "ignored", f"at p = {power} it is the base on raw gradients"
            if off and label != "differs":
                label = "differs" if off > ROUNDING else "rounding"
                detail = f"at p = {power} by {off:.0e} of the change"
            elif label == "no effect" and difference(hand, plain, kind):
                label = "same"
    return label, detail


def optimizers(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the optimizer classes that a package defines itself."""
    package = module.__name__.split(".")[0]
    for name, cls in sorted(vars(module).items()):
        known = inspect.isclass(cls) and issubclass(cls, Optimizer) and not name.startswith("_")
        if known and cls is not Optimizer and cls.__module__.split(".")[0] == package:
            yield name, cls


def all_verdicts() -> list[Verdict]:
    """Try all classes, in a process group of one for those that ask for one."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    return [
        judge(package, name, cls)
        for package, module in PACKAGES.items()
        if find_spec(module.split(".")[0]) is not None
        for name, cls in optimizers(importlib.import_module(module))
    ]


def page(verdicts: list[Verdict]) -> str:
    labels = [label for label in LABELS if any(v.label == label for v in verdicts)]
    rows = [["package", "version", "classes", *(LABELS[label].strip("*") for label in labels)]]
    for package in dict.fromkeys(v.package for v in verdicts):
        mine = [v for v in verdicts if v.package == package]
        counts = [sum(v.label == label for v in mine) for label in labels]
        rows.append([package, version(package).split("+")[0], str(len(mine)), *map(str, counts)])
    others = [["package", "class", "what happens", "why"]]
    for v in verdicts:
        if v.label != "same":
            others.append([v.package, f"`{v.name}`", LABELS[v.label], v.detail])
    same = {p: [f"`{v.name}`" for v in verdicts if (v.package, v.label) == (p, "same")] for p in PACKAGES}
    names = "\n".join(f"- {package}: {', '.join(classes)}" for package, classes in same.items() if classes)
    return TEXT.format(steps=STEPS, power=POWER, counts=table(rows), others=table(others), same=names)


def table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]]]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON, write nothing")
    arguments = parser.parse_args()
    torch.compiler.set_stance("force_eager")  # torchao would compile every step
    warnings.simplefilter("ignore")
    with redirect_stdout(StringIO()):
        verdicts = all_verdicts()
    if arguments.json:
        print(json.dumps([asdict(v) for v in verdicts], indent=1))
    else:
        PAGE.write_text(page(verdicts), encoding="utf-8")
        print(f"{len(verdicts)} classes: {PAGE}")


if __name__ == "__main__":
    main()

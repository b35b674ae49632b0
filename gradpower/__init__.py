"""Sign-power gradients, φ_p(g) = sign(g)·|g|^p, for any torch optimizer.

>>> import torch
>>> from gradpower import AdamWPower
>>> model = torch.nn.Linear(2, 1)
>>> optimizer = AdamWPower(model.parameters(), lr=1e-3, weight_decay=0.1, power=1.2)

What is not allowed is an `InputError`, whose line names the argument, its value and what is allowed.

The library needs torch only, and imports none of the repository's other packages (theory, simulate, experiments,
figures), so that it can be used on its own. Only the command line in `gradpower.__main__` imports them, one at a time.
"""

import ast as _ast
from pkgutil import get_data as _get_data
from typing import Any as _Any

# The stub names every public name's module. torch is imported when the first of them is asked for, not by
# `gradpower --help`.
_HOMES = {
    alias.name: statement.module
    for statement in _ast.parse(_get_data(__name__, "__init__.pyi") or b"").body
    if isinstance(statement, _ast.ImportFrom)
    for alias in statement.names
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> _Any:
    if name in _HOMES:
        from importlib import import_module

        try:
            return getattr(import_module(str(_HOMES[name])), name)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise ImportError(f"gradpower.{name} needs PyTorch: pip install torch") from None
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Looked up on demand: importlib.metadata would double the time that `gradpower --help` takes.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(__name__)
    except PackageNotFoundError:  # a source tree on the path, never installed
        return "unknown"


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

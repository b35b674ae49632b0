"""Sign-power gradients, φ_p(g) = sign(g)·|g|^p, for any torch optimizer.

>>> import torch
>>> from gradpower import AdamWPower
>>> model = torch.nn.Linear(2, 1)
>>> optimizer = AdamWPower(model.parameters(), lr=1e-3, weight_decay=0.1, power=1.2)

The library needs torch only, and imports none of the repository's other packages (theory, simulate, experiments,
figures), so that it can be used on its own. Only the command line in `gradpower.__main__` imports them, one at a time.
"""

import ast
from pathlib import Path
from typing import Any

# The stub names every public name's module. torch is imported when the first of them is asked for, not by
# `gradpower --help`.
_HOMES = {
    alias.name: statement.module
    for statement in ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    if isinstance(statement, ast.ImportFrom)
    for alias in statement.names
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
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
    return sorted([*globals(), *__all__])

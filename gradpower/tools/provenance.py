"""Where numbers come from: command, configuration, versions, machine and commit."""

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gradpower import __version__
from gradpower.tools.terminal import jsonable

_NUMERICAL = ("numpy", "scipy", "numba", "sympy", "python-flint", "matplotlib")


def checkout() -> Path | None:
    """Return the root of the git checkout that this package is run from; None if it is installed elsewhere."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / ".git").exists() and (root / "pyproject.toml").is_file() else None


def provenance(command: str, config: Mapping[str, Any], *, packages: Sequence[str] = ()) -> dict[str, Any]:
    """Return what is needed to make the same numbers again.

    `command` is the command line without the place of its output, `config` all settings, the seed among them, and
    `packages` are further ones whose versions matter.

    >>> origin = provenance("gradpower figure 7", {"seed": 0})
    >>> sorted(origin)
    ['command', 'commit', 'config', 'dirty', 'machine', 'versions']
    """
    root = checkout()
    commit = _git(root, "rev-parse", "HEAD")
    versions = {name: version(name) for name in (*_NUMERICAL, *packages)}
    return {
        "command": command,
        "config": jsonable(config),
        "versions": {"gradpower": __version__, "python": platform.python_version()} | versions,
        "machine": platform.machine(),
        "commit": commit or None,
        "dirty": bool(_git(root, "status", "--porcelain")) if commit else None,
    }


def comment(origin: Mapping[str, Any]) -> str:
    """Return provenance as the comment lines at the head of a CSV file.

    >>> print(comment({"command": "gradpower figure 7", "config": {"seed": 0}}))
    # command: "gradpower figure 7"
    # config: {"seed": 0}
    """
    return "\n".join(f"# {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in origin.items())


def _git(root: Path | None, *arguments: str) -> str:
    """Return git's answer, or nothing where there is no git or no commit."""
    if root is None:
        return ""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

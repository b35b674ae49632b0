"""The architecture: allowed imports, light imports, documented names, one version."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gradpower

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PYPROJECT["tool"]["importlinter"]["root_packages"]
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
MODULES = [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_import_arrows_run_downward():
    done = run_python(
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", ["theory", "simulate"])
def test_light_packages_need_no_heavy_library(package):
    done = run_python(f"import sys, {package}; print(*{{'torch', 'matplotlib'}} & set(sys.modules))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_gradpower_imports_no_other_package():
    done = run_python(f"import sys, gradpower; print(*{set(PACKAGES) - {'gradpower'}!r} & set(sys.modules))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def public_definitions(body: list[ast.stmt], prefix: str = ""):
    for node in body:
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{prefix}{node.name}.")


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_public_names_are_documented(module):
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    named = [("the module", tree), *public_definitions(tree.body)]
    undocumented = [name for name, node in named if not ast.get_docstring(node)]
    assert not undocumented, f"{module}: no docstring on {', '.join(undocumented)}"


def test_every_package_is_in_place():
    assert all((ROOT / package / "__init__.py").is_file() for package in PACKAGES)


@pytest.mark.skipif(gradpower.__version__ == "unknown", reason="gradpower is not installed")
def test_version_is_the_one_in_pyproject():
    assert gradpower.__version__ == PYPROJECT["project"]["version"]


def test_unknown_attribute_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gradpower.nothing


def test_constraints_pin_every_direct_dependency():
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    direct = [*EXTRAS["theory"], *EXTRAS["docs"][1:], *EXTRAS["dev"]]
    names = {requirement.split(">=")[0].lower() for requirement in direct}
    assert names - {name.replace("_", "-") for name in pinned} == set()

from __future__ import annotations

import ast
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gradpower

PACKAGE = Path(gradpower.__file__).parent
ALLOWED = {"torch", "gradpower", "triton"} | set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", gradpower.__all__)
def test_public_names_are_documented_with_an_example(name):
    text = inspect.getdoc(getattr(gradpower, name)) or ""
    assert "Examples\n--------\n>>> " in text or name == "PoweredOptimizer"  # not for use on its own


def test_names_are_not_those_of_modules():
    # `import gradpower.x` binds the module x in the package, which would hide a function of that name.
    assert not {path.stem for path in PACKAGE.glob("*.py")} & set(gradpower.__all__)


def test_the_package_alone_asks_for_no_torch():
    code = "import sys, gradpower; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_torch_is_the_only_dependency(path):
    if path.name == "__main__.py":
        pytest.skip("the command line imports the other packages")
    own = {
        "jax.py": {"jax", "optax"},
        "reading.py": {"msgspec"},
        "results.py": {"msgspec"},
        "terminal.py": {"numpy", "rich", "tyro"},
    }
    allowed = ALLOWED | own.get(path.name, set())
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert all(name.split(".")[0] in allowed for name in names), names


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="AdamXPower"):
        gradpower.AdamXPower  # noqa: B018
    assert set(gradpower.__all__) <= set(dir(gradpower))


def test_the_package_can_be_imported_from_an_archive(tmp_path):
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", PACKAGE.parent, "gradpower")
    code = "import gradpower; print(gradpower.AdamWPower.__name__)"
    environment = {**os.environ, "PYTHONPATH": archive}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "AdamWPower\n", done.stderr

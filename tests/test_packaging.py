"""What a wheel holds and says by itself, and that a checkout works from any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def run(command: list[str | Path], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], ROOT)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own that has the wheel and nothing else."""
    environment = tmp_path_factory.mktemp("environment")
    assert run([sys.executable, "-m", "venv", "--without-pip", environment], ROOT).returncode == 0
    interpreter = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-index"]
    done = run([*pip, wheel], ROOT)
    assert done.returncode == 0, done.stderr
    return interpreter


def test_the_wheel_holds_the_library_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"gradpower"}
    assert {"gradpower/py.typed", "gradpower/kernels/adamw_cpu.c"} <= set(names)


def test_it_needs_nothing_to_be_installed_and_says_what_it_lacks(python: Path, tmp_path: Path) -> None:
    done = run([python, "-c", "from gradpower import AdamWPower"], tmp_path)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1] == "ImportError: gradpower.AdamWPower needs PyTorch: pip install torch"
    )
    assert run([python, "-m", "gradpower", "--help"], tmp_path).returncode == 0
    done = run([python, "-m", "gradpower", "figure", "7"], tmp_path)
    assert done.returncode == 2
    assert "'figure' comes with the repository" in done.stderr
    assert done.stderr.count("\n") == 1


def test_with_torch_it_trains(python: Path, tmp_path: Path) -> None:
    code = """
import torch
from gradpower import AdamWPower
weight = torch.nn.Parameter(torch.ones(3))
weight.grad = torch.ones(3)
AdamWPower([weight], lr=0.1, weight_decay=0.0, power=1.2, fused=True).step()
print(weight.tolist())
"""
    done = run([python, "-c", code], tmp_path, PYTHONPATH=sysconfig.get_paths()["purelib"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pytest.approx([0.9] * 3)


def test_a_checkout_works_in_a_folder_with_packages_of_the_same_names(tmp_path: Path) -> None:
    for name in ("experiments", "theory", "figures"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    flags = ["--power", "1.2", "--noise-to-signal", "10", "--json"]
    done = run([sys.executable, "-m", "gradpower", "theory", "update", *flags], tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"power"' in done.stdout
    assert run([sys.executable, "-m", "gradpower", "recipes"], tmp_path).returncode == 0

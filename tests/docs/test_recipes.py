"""The recipes run, train with the powered optimizer that they show, and stay short."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gradpower import PoweredOptimizer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes"
FILES = sorted(RECIPES.glob("*.py"))
NOT_RUN = ("torchtitan_config", "megatron_lm", "deepspeed_zero")
PROBE = """
import json, runpy, sys
sys.path.insert(0, sys.argv[1])
from test_recipes import summary
print(json.dumps(summary(runpy.run_path(sys.argv[2], run_name="__main__"))))
"""


def summary(variables: dict[str, Any]) -> dict[str, Any]:
    """Return what became of the optimizer and the losses that a recipe leaves behind."""
    optimizer = variables["optimizer"]
    return {
        "class": type(optimizer).__name__,
        "powered": isinstance(optimizer, PoweredOptimizer),
        "powers": [group["power"] for group in optimizer.param_groups],
        "decays": [group["weight_decay"] for group in optimizer.param_groups],
        "steps": sorted({int(state["step"]) for state in optimizer.state.values()}),
        "losses": variables["losses"],
    }


def run(name: str) -> dict[str, Any]:
    # torchao compiles its step, which takes 20 s, unless it is told not to.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", PROBE, str(Path(__file__).parent), str(RECIPES / f"{name}.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown, told = done.stdout.splitlines()[-2:]
    result: dict[str, Any] = json.loads(told)
    first, last = result["losses"][0], result["losses"][-1]
    assert shown == f"{result['class']} {result['powers'][0]} loss {first} to {last}"
    return result


def assert_trained(
    result: dict[str, Any], optimizer: str, power: float, decays: list[float], steps: int
) -> None:
    assert (result["class"], result["powered"]) == (optimizer, True)
    assert result["powers"] == [power] * len(decays)
    assert result["decays"] == decays
    assert result["steps"] == [steps]
    assert result["losses"][-1] < result["losses"][0] / 5


@pytest.mark.parametrize(
    ("name", "framework", "optimizer", "power", "decays", "steps"),
    [
        ("huggingface_trainer", "transformers", "AdamWPower", 1.2, [0.1, 0.0], 40),
        # 10 epochs of 16 batches, 4 of them to a step, after which the schedule is at its end.
        ("accelerate_loop", "accelerate", "AdamWPower", 1.0, [0.1], 40),
        ("lightning_module", "lightning", "AdamWPower", 1.2, [0.1], 64),
        ("torchao_8bit", "torchao", "AdamW8bitPower", 1.2, [0.1], 40),
    ],
)
def test_recipe_trains_with_its_powered_optimizer(
    name: str, framework: str, optimizer: str, power: float, decays: list[float], steps: int
) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    assert_trained(run(name), optimizer, power, decays, steps)


def test_plain_loop_trains_and_resumes_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is run in this process, which has torch already; the others bring frameworks with state of their own."""
    monkeypatch.setattr(sys, "argv", ["plain_loop.py", str(tmp_path)])
    whole, resumed = (runpy.run_path(str(RECIPES / "plain_loop.py")) for _ in range(2))
    assert_trained(summary(whole), "AdamWPower", 1.2, [0.1], 60)
    assert (len(whole["losses"]), len(resumed["losses"])) == (60, 20)
    assert resumed["losses"] == whole["losses"][40:]
    assert resumed["optimizer"].param_groups[0]["power"] == 1.2


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_recipe_is_short_and_says_whether_it_is_run(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 40
    compile("\n".join(lines), str(file), "exec")
    assert lines[0].startswith('"""Not run by the tests: needs ') == (file.stem in NOT_RUN)


def test_readme_lists_every_recipe_with_the_version_that_is_tested() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in constraints if "==" in line)
    table = (RECIPES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(.+)\]\(\1\) \| ([^ ,|]+)[^|]*\| ([^|]+) \|$", table, flags=re.MULTILINE)
    assert sorted(file for file, _, _ in rows) == [file.name for file in FILES]
    for file, framework, version in rows:
        assert version.startswith("not run") if Path(file).stem in NOT_RUN else version == pins[framework]

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from experiments.training.step_cost import STEP_COST
from figures.training.step_time import draw
from gradpower.__main__ import main

pytestmark = pytest.mark.slow

RESULTS = Path(__file__).parents[3] / "results"


def test_what_is_drawn():
    ratios, bandwidths = draw(STEP_COST.read(RESULTS).steps).axes
    assert len(ratios.containers) == 3
    assert len(bandwidths.lines) == 7  # two optimizers for three implementations, and the copy


def test_command(tmp_path, capsys):
    flags = ["--size", "1M", "--model", "1M", "--rounds", "3", "--tensors", "12", "--output", str(tmp_path)]
    assert main(["step-time", *flags, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    content = STEP_COST.read(tmp_path)
    assert printed.pop("schema") == {"name": "gradpower/step_time", "version": 1}
    assert printed == json.loads(json.dumps(msgspec.to_builtins(content)))
    assert {"torch", "transformers"} <= set(content.provenance.versions)
    assert [row.implementation for row in content.steps] == ["for-loop", "foreach", "fused"]
    assert {(row.layout, row.tensors) for row in content.launches} == {("plain", 12), ("sharded", 12)}
    assert all(row.powered_launches <= 2 * row.base_launches for row in content.launches)
    assert [path.name for path in tmp_path.iterdir()] == ["step_time.json"]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--rounds", "2"], "rounds: 2"),
        (["--tensors", "0"], "tensors: 0"),
        (["--power", "-1"], "power: -1"),
        (["--size", "2M"], "size"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(tmp_path, capsys, flags, named):
    assert main(["step-time", *flags, "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_no_gpu_is_one_line(tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["step-time", "--device", "cuda", "--output", str(tmp_path)]) == 2
    assert "device: cuda is not allowed; expected cpu" in capsys.readouterr().err

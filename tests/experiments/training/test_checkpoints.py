"""Checkpoints: what comes back, what is noticed, and what survives when writing fails."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from experiments.training.checkpoints import (
    CorruptCheckpoint,
    checkpoint_name,
    checkpoints,
    load_checkpoint,
    load_latest,
    save_checkpoint,
    tensors_digest,
)

ROOT = Path(__file__).parents[3]


def model(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"bias": torch.randn(40, generator=generator), "weight": torch.randn(50, 40, generator=generator)}


STATE = {
    "optimizer": {
        "state": {0: {"exp_avg": torch.arange(6.0).view(2, 3), "step": torch.tensor(3.0)}, 1: {}},
        "param_groups": [
            {"lr": 0.1 + 0.2, "betas": (0.9, 0.95), "fused": True, "params": [0, 1], "name": None}
        ],
    },
    "generator": torch.get_rng_state(),
    "half": torch.tensor([1.5, math.nan], dtype=torch.bfloat16),
    "transposed": torch.arange(6).view(2, 3).T,
    "data": [{"position": 12}],
    "none": {},
    "scales": None,
}


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return (
            isinstance(b, torch.Tensor)
            and a.dtype == b.dtype
            and torch.equal(a.nan_to_num(7), b.nan_to_num(7))
        )
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_everything_comes_back_as_it_was(tmp_path):
    path = save_checkpoint(tmp_path, 120, model(), STATE)
    step, weights, state = load_checkpoint(path)
    assert step == 120
    assert same(weights, model())
    assert same(state, STATE)


def test_no_code_can_come_in_a_checkpoint(tmp_path):
    path = save_checkpoint(tmp_path, 1, model(), STATE)
    assert sorted(p.name for p in path.iterdir()) == [
        "manifest.json",
        "model.safetensors",
        "state.json",
        "state.safetensors",
    ]
    with pytest.raises(TypeError, match="/reader: a function has no place"):
        save_checkpoint(tmp_path, 2, model(), {"reader": same})
    assert [p.name for p in checkpoints(tmp_path)] == [checkpoint_name(1)]


def test_the_last_two_are_kept(tmp_path):
    for step in (5, 10, 20, 100_000_000):
        save_checkpoint(tmp_path, step, model(), STATE)
    assert [p.name for p in checkpoints(tmp_path)] == ["step-00000020", "step-100000000"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink], ids=["truncated", "one bit", "missing"])
@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json", "manifest.json"])
def test_damage_is_noticed_and_the_one_before_is_used(tmp_path, name, damage):
    save_checkpoint(tmp_path, 10, model(1), STATE)
    newest = save_checkpoint(tmp_path, 20, model(2), STATE)
    damage(newest / name)
    with pytest.raises(CorruptCheckpoint):
        load_checkpoint(newest)
    found, complaints = load_latest(tmp_path)
    assert found is not None
    assert found[0] == 10
    assert same(found[1], model(1))
    assert len(complaints) == 1
    assert "step-00000020" in complaints[0]
    # Reaching the damaged step again replaces it.
    save_checkpoint(tmp_path, 20, model(2), STATE)
    assert load_latest(tmp_path)[1] == []


def test_nothing_to_go_on_from(tmp_path):
    assert load_latest(tmp_path / "missing") == (None, [])
    path = save_checkpoint(tmp_path, 1, model(), STATE)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["schema"]["version"] = 99
    (path / "manifest.json").write_text(json.dumps(manifest))
    found, (complaint,) = load_latest(tmp_path)
    assert found is None
    assert "schema" in complaint


def test_half_written_ones_are_swept_away(tmp_path):
    leftover = tmp_path / ".step-00000007.123"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    save_checkpoint(tmp_path, 8, model(), STATE)
    assert not leftover.exists()


FULL = """
import resource, signal, sys
from pathlib import Path
import torch
from experiments.training.checkpoints import save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
save_checkpoint(folder, 1, {"weight": torch.zeros(10)}, {})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    save_checkpoint(folder, 2, {"weight": torch.zeros(1_000_000)}, {})
except OSError as error:
    print("refused:", error)
"""


def test_a_full_disk_leaves_the_last_good_one(tmp_path):
    # A limit on the size of a file fails in the middle of a write, as a full disk does.
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "refused:" in done.stdout
    assert "model.safetensors" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == [checkpoint_name(1)]
    assert load_latest(tmp_path)[0] is not None


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        save_checkpoint(tmp_path / "file" / "checkpoints", 1, model(), STATE)


def test_the_digest_sees_every_bit_and_name():
    digests = {
        tensors_digest(model()),
        tensors_digest(model(1)),
        tensors_digest({"renamed": model()["weight"], "bias": model()["bias"]}),
        tensors_digest({"weight": model()["weight"].view(40, 50), "bias": model()["bias"]}),
        tensors_digest({**model(), "bias": -model()["bias"]}),
    }
    assert len(digests) == 5
    assert tensors_digest(dict(reversed(model().items()))) == tensors_digest(model())

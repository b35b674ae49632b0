"""Golden trajectories: a change that should not change numbers must not.

Ten steps of every named optimizer in float64 on gradients made by hand. They are compared to 1e-12, not bit for bit,
as the power and the square root of other C libraries may differ in the last bit; Muon iterates in bfloat16, whose
sums depend on the processor. `python -m tests.gradpower.test_golden` writes the file anew.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from gradpower import AdagradPower, AdamPower, AdamWPower, MuonPower, RMSpropPower, SGDPower

FILE = Path(__file__).parent / "golden" / "trajectories.json"
POWERS = (0.8, 1.2)
OPTIMIZERS = {
    "AdamWPower": (AdamWPower, {"lr": 0.02, "betas": (0.9, 0.95), "weight_decay": 0.1}),
    "AdamPower": (AdamPower, {"lr": 0.02, "amsgrad": True}),
    "AdagradPower": (AdagradPower, {"lr": 0.1, "initial_accumulator_value": 1e-8, "eps": 0}),
    "SGDPower": (SGDPower, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "RMSpropPower": (RMSpropPower, {"lr": 0.01, "centered": True}),
    "MuonPower": (MuonPower, {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}),
}


def trajectory(name: str, power: float) -> list[list[float]]:
    """Return the six weights after each of ten steps."""
    kind, settings = OPTIMIZERS[name]
    weight = torch.nn.Parameter(torch.tensor([[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]], dtype=torch.float64))
    target = torch.tensor([[0.5, 1.0, -1.0], [2.0, -0.5, 0.0]], dtype=torch.float64)
    optimizer, seen = kind([weight], power=power, **settings), []
    for step in range(10):
        waves = [[math.sin(3 * step + 2 * i + j) for j in range(3)] for i in range(2)]
        weight.grad = (weight.detach() - target) * 0.1 + torch.tensor(waves, dtype=torch.float64)
        optimizer.step()
        seen.append(weight.detach().flatten().tolist())
    return seen


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trajectory_is_the_golden_one(name, power):
    golden = json.loads(FILE.read_text(encoding="utf-8"))[f"{name}, p = {power}"]
    tolerance = 2e-3 if name == "MuonPower" else 1e-12
    torch.testing.assert_close(
        torch.tensor(trajectory(name, power), dtype=torch.float64),
        torch.tensor(golden, dtype=torch.float64),
        rtol=tolerance,
        atol=tolerance,
    )


def write_golden() -> None:
    """Write the file from the code as it is."""
    content = {f"{name}, p = {power}": trajectory(name, power) for name in OPTIMIZERS for power in POWERS}
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_golden()

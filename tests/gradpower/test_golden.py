"""Ten steps of each named optimizer, as committed in `golden/`: a change that should change no number changes none.

`python tests/gradpower/test_golden.py` writes the files anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import Parameter

from gradpower import AdagradPower, AdamPower, AdamWPower, MuonPower, RMSpropPower, SGDPower

FOLDER = Path(__file__).parent / "golden"
POWERS = (0.8, 1.2)
SETTINGS = {
    AdamPower: {"lr": 0.05, "betas": (0.9, 0.95)},
    AdamWPower: {"lr": 0.05, "betas": (0.9, 0.95), "weight_decay": 0.1},
    AdagradPower: {"lr": 0.2, "initial_accumulator_value": 1e-8, "eps": 0.0},
    SGDPower: {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    RMSpropPower: {"lr": 0.02, "alpha": 0.95, "centered": True},
    MuonPower: {"lr": 0.05, "adjust_lr_fn": "match_rms_adamw"},
}
# Not bitwise: pow and sqrt round differently from one math library and processor to another, in the last digit
# of float64. Muon orthogonalises in bfloat16, where that digit can move a number by 2^−8 of it.
TOLERANCES = {cls: {"rtol": 1e-12, "atol": 0.0} for cls in SETTINGS} | {
    MuonPower: {"rtol": 0.0, "atol": 10 * 0.05 * 2.0**-8}
}


def trajectory(cls, power):
    """θ after each of ten steps, on gradients θ − c + (a number of sevenths that changes with the step)."""
    entries = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    theta, centre = Parameter((entries - 2) / 4 + 0.3), (entries % 4) / 3
    optimizer = cls([theta], **SETTINGS[cls], power=power)
    path = []
    for t in range(10):
        theta.grad = theta.detach() - centre + ((3 * entries + 5 * t) % 11 - 5) / 7
        optimizer.step()
        path.append(theta.detach().flatten().tolist())
    return path


def write_golden():
    FOLDER.mkdir(exist_ok=True)
    for cls in SETTINGS:
        rows = {str(power): trajectory(cls, power) for power in POWERS}
        text = json.dumps(rows).replace("], [", "],\n[").replace(": [[", ": [\n[").replace("]], ", "]],\n")
        (FOLDER / f"{cls.__name__}.json").write_text(text + "\n")


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("cls", SETTINGS, ids=lambda cls: cls.__name__)
def test_golden(cls, power):
    expected = json.loads((FOLDER / f"{cls.__name__}.json").read_text())[str(power)]
    np.testing.assert_allclose(trajectory(cls, power), expected, **TOLERANCES[cls])


if __name__ == "__main__":
    write_golden()

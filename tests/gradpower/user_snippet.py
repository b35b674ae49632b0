"""What a user's type checker is to accept and to refuse.

Checked by `mypy --strict` with the library and by pyright (`make pyright`): where they no longer refuse a line, its
comment is an error. Never run.
"""

from __future__ import annotations

import torch
from torch import nn

from gradpower import AdamWPower, MuonPower, SGDPower, clip_then_power, powered


def accepted(model: nn.Linear) -> torch.optim.AdamW:
    SGDPower(model.parameters(), 0.1, 0.9, power=1.2)
    MuonPower([model.weight], power=0.9, adjust_lr_fn="match_rms_adamw")
    AdamWPower(
        [{"params": model.parameters(), "power": 0.9}], power=torch.tensor(1.2), clip=clip_then_power(1.0)
    )
    adamax: torch.optim.Adamax = powered(torch.optim.Adamax)(model.parameters(), lr=1e-3, power=1.2)
    adamax.step()
    return AdamWPower(model.parameters(), lr=1e-3, weight_decay=0.1, power=1.2, fused=True)


def refused(model: nn.Linear) -> torch.optim.SGD:
    AdamWPower(model.parameters(), lr="fast", power=1.2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    AdamWPower(model.parameters(), weight_dacay=0.1, power=1.2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    AdamWPower(model.parameters(), lr=1e-3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SGDPower(model.parameters(), power="1.2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return powered(torch.optim.Adamax)(model.parameters(), power=1.2)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

"""A worker that ends without a word when it has claimed an arm."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.sweeps.arms import arm_folder, is_settled
from experiments.sweeps.claims import Watch, claim
from experiments.sweeps.worker import Plan


def crash(fields: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Stand for `work`: claim the first arm that is not settled, and be killed at it."""
    plan = Plan(**fields)
    for name in plan.arms:
        own = arm_folder(Path(plan.folder), name)
        if not is_settled(own, plan.retries):
            assert claim(own, Watch(), sweep=plan.sweep, worker=index) is not None
            os.kill(os.getpid(), signal.SIGKILL)
    return {"ended": "done", "error": None, "trained": []}


def crash_at_once(fields: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Stand for `work` on a machine where it cannot begin."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError

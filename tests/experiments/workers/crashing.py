"""Jobs at which the process ends without a word."""

from __future__ import annotations

import os
import signal

from experiments.sweeps.leases import acquire
from experiments.sweeps.worker import Job


def crash(job: Job) -> None:
    """Stand for `run_job`: take the lease, and be killed at it."""
    assert acquire(job.folder, job.after, job.sweep) is not None
    crash_at_once(job)


def crash_at_once(job: Job) -> None:
    """Stand for `run_job` on a machine where it cannot begin."""
    os.kill(os.getpid(), signal.SIGKILL)

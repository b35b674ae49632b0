"""The claims of the registry, checked in a process of their own while the figures are drawn."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context

from theory.claims import CLAIMS, Check, CheckedClaim, run_claim

_BY_ID = {claim.id: claim for claim in CLAIMS}


@contextmanager
def checked_claims() -> Iterator[Iterator[CheckedClaim]]:
    """Start checking all claims, and yield them one by one, in the registry's order, as they are asked for."""
    # A pool ends its worker when the block is left, whatever the reason: the worker need not hear of Ctrl-C itself.
    ignored = (signal.SIGINT, signal.SIG_IGN)
    with get_context("spawn").Pool(1, initializer=signal.signal, initargs=ignored) as pool:
        found = pool.imap(_outcome, _BY_ID)
        yield (CheckedClaim(claim, *outcome) for claim, outcome in zip(CLAIMS, found, strict=True))


def _outcome(name: str) -> tuple[Check, Check, Check | None, str]:
    """Check one claim: what of a checked claim can travel between processes, which its functions cannot."""
    checked = run_claim(_BY_ID[name])
    return checked.symbolic, checked.numeric, checked.rigorous, checked.region

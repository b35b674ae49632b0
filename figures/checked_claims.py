"""The claims of the registry, checked in a process of their own while the figures are drawn."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context

from theory.claims.claim import CheckedClaim, Finding, run_claim
from theory.claims.registry import CLAIMS

_BY_ID = {claim.id: claim for claim in CLAIMS}


@contextmanager
def checked_claims() -> Iterator[Iterator[CheckedClaim]]:
    """Start checking all claims, and yield them one by one, in the registry's order, as they are asked for."""
    # A pool ends its worker when the block is left, whatever the reason: the worker need not hear of Ctrl-C itself.
    ignored = (signal.SIGINT, signal.SIG_IGN)
    with get_context("spawn").Pool(1, initializer=signal.signal, initargs=ignored) as pool:
        findings = pool.imap(_findings, _BY_ID)
        yield (CheckedClaim(claim, one) for claim, one in zip(CLAIMS, findings, strict=True))


def _findings(name: str) -> tuple[Finding, ...]:
    """Check one claim: what of a checked claim can travel between processes, which its function cannot."""
    return run_claim(_BY_ID[name]).findings

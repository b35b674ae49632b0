"""One finding of a claim, without those that come after it."""

from theory.claims.claim import Claim, Means


def passes(claim: Claim, means: Means) -> bool:
    return next(finding for finding in claim.check() if finding.means == means).passed

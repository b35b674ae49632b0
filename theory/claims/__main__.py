"""`python -m theory.claims 4.11 "Lemma C.2"`: verdicts and numbers of the claims with these ids or at these places."""

import sys

from gradpower.tools.errors import InputError
from theory.claims.claim import run_claim
from theory.claims.commands import select

if __name__ == "__main__":
    try:
        chosen = select(tuple(sys.argv[1:]))
    except InputError as error:
        sys.exit(f"theory.claims: error: {error}")
    for checked in map(run_claim, chosen):
        print(f"{checked.claim.id}: {checked.verdict}\n  {checked.claim.statement}")
        lines = (f"  {'✓' if f.passed else '✗'} {f.means}: {f.detail}" for f in checked.findings)
        print(*lines, "", sep="\n")

"""Every claim that is checked, by its place in the paper; `beyond` holds what is ours.

Proposition 4.2 is in `proposition_4_2`, and so on; Example 4.7 stands with Assumption 4.6, Example 4.10 with Assumption
4.9, and what the proposition's or the theorems' files share in `leading_order` and `theorems`. Each file runs by
itself: `python -m theory.claims.proposition_4_2` prints its claims with their verdicts and numbers. `registry` has all.
"""

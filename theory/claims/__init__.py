"""Every claim that is checked, by its place in the paper; `beyond` holds what is ours.

Proposition 4.2 is in `proposition_4_2`, and so on; Example 4.7 stands with Assumption 4.6, Example 4.10 with Assumption
4.9, and what the proposition's or the theorems' files share in `leading_order` and `theorems`.
`registry` has all, and `gradpower theory check --only 4.2` shows those of a place with their verdicts and numbers.
"""

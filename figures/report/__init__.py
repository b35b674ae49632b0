"""`paper_repro.md`: what the paper says and what was found, from committed data alone.

Prose is written by people, in templates/; a module a section computes the numbers that are filled in.
"""

"""Section 4.2: the convergence theorems, their assumptions, and the studies of simulate.questions."""

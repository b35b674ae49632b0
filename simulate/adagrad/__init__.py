"""Adagrad on powered gradients of test problems, against its convergence theorems."""

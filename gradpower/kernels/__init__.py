"""Compiled kernels: one pass over memory for a whole optimizer step."""

"""Measurements of training: the cost of a step so far; recipes, training and sweeps will live here."""

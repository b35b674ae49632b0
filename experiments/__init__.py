"""Recipes, training and sweeps will live here; the room is still empty."""

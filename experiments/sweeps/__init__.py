"""Sweeps: studies of many runs with paired seeds and a rule declared beforehand, and the engine that runs them."""

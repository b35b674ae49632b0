"""Gradient noise at a fixed model: how large, of what shape, and what power it calls for."""

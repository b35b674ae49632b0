"""One training run: the loop, its optimizer, checkpoints and records."""

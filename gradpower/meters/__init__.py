"""What is measured while training: the signal-to-noise ratios of modules, and the sizes of updates."""

"""Learning rates by module: Blockwise's ratios, and factors made from signal-to-noise ratios."""

"""The explorer: one page to play with the noise model and to look at the studies."""

"""Adam on powered noisy gradients: Monte Carlo of the one-dimensional example."""

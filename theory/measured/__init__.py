"""What measured gradients say: noise ratios, noise scale, shape, and the constants of the assumptions."""

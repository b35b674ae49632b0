"""Section 4.1: the moments of powered gradients, Adam's expected update, and the power that maximises it."""

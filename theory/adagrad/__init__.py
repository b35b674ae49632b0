"""Section 4.2: bounds, the constants of their assumptions, and what the power does to a problem."""

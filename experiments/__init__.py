"""Pre-training: recipes, text as tokens, runs, sweeps and their statistics, gradient noise, the cost of a step."""

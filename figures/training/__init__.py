"""Training: losses of runs and studies, gradient noise, the cost of a step."""

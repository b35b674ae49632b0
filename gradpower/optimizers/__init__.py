"""The powered optimizers, and the step that they share."""

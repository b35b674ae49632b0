"""Ball arithmetic, quadrature, and the validation of numbers."""

"""Section 4.1: the mean update of Adam on the noise example, and the best powers."""

"""Monte Carlo of Adam on powered noisy gradients, and of Adagrad on test problems.

>>> from simulate import simulate_adam
>>> from theory.laws import parse_law
>>> trials = simulate_adam([1.0, 1.2, 1.4], 1e-6, 1e-5, parse_law("uniform"), trials=4096, seed=1)
>>> [f"{drift:.2f}" for drift in trials.drift]
['0.17', '0.17', '0.16']
"""

from simulate.adagrad.descent import build_descent
from simulate.adagrad.monte_carlo import AdagradRuns, simulate_adagrad
from simulate.adam.monte_carlo import AdamTrials, simulate_adam

__all__ = ["AdagradRuns", "AdamTrials", "build_descent", "simulate_adagrad", "simulate_adam"]

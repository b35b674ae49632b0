"""Six questions about Section 4.2, each answered by a table of simulations against the theory.

1. `bounds`: do the theorems' bounds hold wherever their assumptions do, and how loose are they?
2. `rates`: at low noise, does the exponent move from 1/2 towards 1/(p+1), or was Adagrad fast already?
3. `gains`: at high noise, is the gain over Adagrad the predicted constant, and for which laws does it reverse?
4. `gains`, again: what is left of it at the best learning rate of each power?
5. `extremes`: in which instance does p ≠ 1 help most, and in which does it hurt most?
6. `unbounded`: what happens without a bound on the gradients?

Each question is a module with a function `run` of a `Size`, which returns dataclasses of numbers.
"""

from simulate.questions.planning import FULL, Size
from simulate.questions.studies import CONVERGENCE, ConvergenceResults, Studies, run_studies

__all__ = ["CONVERGENCE", "FULL", "ConvergenceResults", "Size", "Studies", "run_studies"]

"""The error for what a user gave and may not give."""

from __future__ import annotations


class InputError(ValueError):
    """A value that a user gave and that is not allowed.

    The message names the argument, the value and what is allowed, so that the command line can print it as it is.

    Parameters
    ----------
    argument : str
        Name of the argument, as in the Python signature.
    value : object
        What was given.
    allowed : str
        What would have been accepted.

    Examples
    --------
    >>> print(InputError("power", -1.0, "a finite number > 0"))
    power: -1.0 is not allowed; expected a finite number > 0
    """

    def __init__(self, argument: str, value: object, allowed: str) -> None:
        self.argument, self.value, self.allowed = argument, value, allowed
        super().__init__(f"{argument}: {value} is not allowed; expected {allowed}")

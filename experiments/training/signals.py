"""SIGTERM, Ctrl-C and a closed terminal as a wish to stop after the current step."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

_CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interruption:
    """While active, the first signal is noted in `name`; a second Ctrl-C interrupts at once.

    In another thread than the main one, Python gives no signals, and nothing is caught. SIGHUP stays ignored where
    it is, as under nohup.

    >>> with Interruption() as interruption:
    ...     signal.raise_signal(signal.SIGTERM)
    >>> interruption.name
    'SIGTERM'
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            caught = [number for number in _CAUGHT if not (nohup and number == signal.SIGHUP)]
            self._before = {number: signal.signal(number, self._note) for number in caught}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name

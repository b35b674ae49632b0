"""Training runs in processes forked from one that has imported torch: importing it takes longer than they do."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from pathlib import Path

_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(["experiments.training.run"])


def _train(recipe: str, folder: str, cache: str, said: str) -> None:
    from experiments.training.execution import Execution
    from experiments.training.loop import train
    from experiments.training.records import read_recipe

    execution = Execution(device="cpu", threads=1, log_every=1, checkpoint_steps=3, cache=Path(cache))
    try:
        text = train(read_recipe(Path(recipe)), Path(folder), execution=execution).status
    except BaseException:
        Path(said).write_text(traceback.format_exc())
        raise
    Path(said).write_text(text)


class Child:
    """A run in a process that can be killed at any moment.

    Parameters
    ----------
    recipe, folder, cache : Path
        The recipe's file, and where the run and its tokens lie.
    """

    def __init__(self, recipe: Path, folder: Path, cache: Path) -> None:
        self._said = folder.with_name(f"{folder.name}-said.txt")
        self._said.unlink(missing_ok=True)
        arguments = (str(recipe), str(folder), str(cache), str(self._said))
        self._process = _FORK.Process(target=_train, args=arguments)
        self._process.start()

    def poll(self) -> int | None:
        """The exit code, −N after signal N; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self, patience: float = 120.0) -> int | None:
        self._process.join(patience)
        return self.poll()

    @property
    def said(self) -> str:
        """The status of the run, or how it failed; nothing if it was killed."""
        return self._said.read_text() if self._said.exists() else ""

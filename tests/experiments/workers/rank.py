"""One rank of training runs: a cache, and of each run recipe.json, folder, 1 to shard, and the steps to pause after.

0: not at all; negative: and not go on.
"""

from __future__ import annotations

import sys
from pathlib import Path

from experiments.training.execution import Execution
from experiments.training.loop import train
from experiments.training.records import read_recipe


def run(cache: str, recipe: str, folder: str, shard: str, pause: str) -> None:
    """Train, in two goes if asked to."""
    execution = Execution(
        device="cpu", threads=1, log_every=1, micro_batch_size=2, shard=shard == "1", cache=Path(cache)
    )
    made = read_recipe(Path(recipe))
    if int(pause):
        asked = iter(range(10**6))
        at = abs(int(pause))
        paused = train(made, Path(folder), execution=execution, stop=lambda: next(asked) == at)
        assert paused.status == "paused"
        assert paused.step == at
    if int(pause) < 0:
        return
    assert train(made, Path(folder), execution=execution).status == "completed"


if __name__ == "__main__":
    for first in range(2, len(sys.argv), 4):
        run(sys.argv[1], *sys.argv[first : first + 4])

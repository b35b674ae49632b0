"""Try to take every one of some runs, say which were won, and end without letting go of any.

Usage: contender.py FOLDER LIMIT SECONDS
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from experiments.sweeps import leases
from experiments.sweeps.leases import Watch, acquire

leases.BEAT = 0.1


def main() -> None:
    """Contend."""
    folder, watch = Path(sys.argv[1]), Watch(limit=float(sys.argv[2]))
    arms = sorted(folder.glob("arm-*"))
    won: list[str] = []
    held = []
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + float(sys.argv[3])
    while time.monotonic() < end:
        for arm in arms:
            after = None if arm.name in won else watch.free_after(arm)
            mine = None if after is None else acquire(arm, after)
            if mine is not None:
                won.append(arm.name)
                held.append(mine)
        time.sleep(0.01)
    print(*won, flush=True)
    sys.stdin.readline()
    os._exit(1)


if __name__ == "__main__":
    main()

"""Try to claim every one of some arms, say which were won, and end without letting go of any.

Usage: contender.py FOLDER LIMIT SECONDS
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from experiments.sweeps import claims
from experiments.sweeps.claims import Watch, claim

claims.BEAT = 0.1


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
            mine = None if arm.name in won else claim(arm, watch)
            if mine is not None:
                won.append(arm.name)
                held.append(mine)
        time.sleep(0.01)
    print(*won, flush=True)
    sys.stdin.readline()
    os._exit(1)


if __name__ == "__main__":
    main()

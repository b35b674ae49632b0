"""A Dask cluster of one worker process on this machine, up until this process's input ends; prints its address.

Usage: dask_cluster.py THREADS
"""

from __future__ import annotations

import sys

from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(
        n_workers=1, threads_per_worker=int(sys.argv[1]), processes=True, dashboard_address=None
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()

"""A sweep's workers on an existing cluster, by joblib's backends for Ray and Dask.

The study's folder must be on a file system that all nodes share, and the code installed on each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from typing import Any

from experiments.sweeps.options import Backend
from experiments.sweeps.processes import keep_working
from experiments.sweeps.worker import Plan
from gradpower.tools.errors import InputError

Slots = tuple[int, int]  # CPUs and GPUs


def run_on_cluster(
    plan: Plan, workers: int | None, backend: Backend, address: str | None, told: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Run the plan's workers on a cluster, and return how each ended.

    Parameters
    ----------
    plan : Plan
        What to do.
    workers : int or None
        How many; one a GPU, or where there are none one a CPU, if not given.
    backend, address : str
        Which kind of cluster, and where.
    told : callable
        Told in words what is used.

    Raises
    ------
    InputError
        If there is no cluster at the address, or it has no room for so many workers.
    """
    from joblib import Parallel, delayed, parallel_config

    connect = _ray if backend == "ray" else _dask
    on_gpus = plan.execution.get("device", "auto") != "cpu"
    with connect(address) as (cpus, gpus):
        count = workers or max(1, (gpus if on_gpus else 0) or cpus)
        if count > cpus or (backend == "ray" and count < 2):
            raise InputError("workers", count, f"a whole number from 2 to {cpus}, the CPUs of the cluster")
        config: dict[str, Any] = {"backend": backend}
        if backend == "ray" and gpus and on_gpus:
            config["ray_remote_args"] = {"num_gpus": min(1.0, gpus / count)}
        told(f"{count} workers on {cpus} CPUs and {gpus} GPUs of the {backend} cluster")
        fields: Mapping[str, Any] = asdict(plan)
        with parallel_config(**config):
            ends = Parallel(n_jobs=count, batch_size=1, pre_dispatch="all")(
                delayed(keep_working)(fields, index) for index in range(count)
            )
    return list(ends)


@contextmanager
def _ray(address: str | None) -> Iterator[Slots]:
    ray: Any = import_module("ray")
    import_module("ray.util.joblib").register_ray()
    try:
        ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        told = str(error).split("\n")[0]
        raise InputError("address", address, f"that of a running Ray cluster ({told})") from None
    try:
        there = ray.cluster_resources()
        yield int(there.get("CPU", 0)), int(there.get("GPU", 0))
    finally:
        ray.shutdown()


@contextmanager
def _dask(address: str | None) -> Iterator[Slots]:
    distributed: Any = import_module("distributed")
    try:
        client = distributed.Client(address, timeout=10)
    except OSError as error:
        raise InputError("address", address, f"that of a running Dask scheduler ({error})") from None
    with client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        gpus = sum(int(worker["resources"].get("GPU", 0)) for worker in workers)
        yield sum(client.ncores().values()), gpus

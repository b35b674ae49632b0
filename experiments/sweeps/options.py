"""How a sweep is run: nothing here changes what its arms are."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from gradpower.tools.errors import InputError, require, whole

Backend = Literal["local", "ray", "dask"]


@dataclass(frozen=True)
class Options:
    """How a sweep is run; nothing here changes what its arms are.

    Raises
    ------
    InputError
        If a value is not allowed, or the backend is not there.

    Examples
    --------
    >>> Options(workers=2).retries
    2
    """

    workers: int | None = None
    """Worker processes; if not given one a GPU, or one where there is none (on a cluster: as many as it has room for).
    They share the cores of the machine."""
    retries: int = 2
    """How often an arm is tried again after a failure; counted over all sweeps of the study."""
    budget: float | None = None
    """Minutes after which to save all arms and leave."""
    backend: Backend = "local"
    """Where workers run: processes here, or a Ray or Dask cluster that is there already."""
    address: str | None = None
    """Address of the cluster: of Ray's head (the one on this machine if not given), or of Dask's scheduler."""

    def __post_init__(self) -> None:
        """Check every value."""
        if self.workers is not None:
            whole("workers", self.workers)
        whole("retries", self.retries, minimum=0)
        require(self.budget is None or self.budget > 0, "budget", self.budget, "a number of minutes > 0")
        if self.backend == "local":
            require(self.address is None, "address", self.address, "nothing for the backend local")
            return
        try:
            import_module({"ray": "ray", "dask": "distributed"}[self.backend])
        except ImportError:
            allowed = "local, or an installation: pip install '.[cluster]' in the checkout"
            raise InputError("backend", self.backend, allowed) from None
        scheduler = "that of the scheduler, as in tcp://HOST:8786"
        require(self.backend != "dask" or self.address is not None, "address", "none", scheduler)

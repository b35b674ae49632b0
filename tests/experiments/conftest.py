"""What the tests of corpora, training, noise and sweeps share."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.training.execution import Execution
from tests.experiments.texts import write_text


@pytest.fixture(scope="session")
def text(tmp_path_factory) -> Path:
    return write_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def here(cache) -> Execution:
    return Execution(device="cpu", threads=1, log_every=1, cache=cache)

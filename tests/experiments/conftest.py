"""What the tests of corpora, training, noise and sweeps share."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.sweeps.studies import read_study
from experiments.sweeps.worker import run_job
from experiments.training.execution import Execution
from tests.experiments.sweep_helpers import job_of, outcomes, toml_of
from tests.experiments.texts import small_recipe, write_text


@pytest.fixture(scope="session")
def text(tmp_path_factory) -> Path:
    return write_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def long_study(text, cache, tmp_path_factory) -> tuple[Path, dict]:
    """The file of a study whose arms take 60 steps, and what they come to if nothing happens."""
    folder = tmp_path_factory.mktemp("study")
    made = small_recipe(text, training__steps=60, training__evaluate_every=60)
    file = toml_of(made, folder / "study.toml")
    study = read_study(file)
    for index in range(len(study.arms())):
        assert run_job(job_of(study, folder, cache, index)) == "completed"
    return file, outcomes(folder, study)


@pytest.fixture(scope="session")
def here(cache) -> Execution:
    return Execution(device="cpu", threads=1, log_every=1, cache=cache)

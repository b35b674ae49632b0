"""The page of the committed grids, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from figures.explorer.grids import GRIDS
from figures.explorer.page import explorer_page

RESULTS = Path(__file__).parents[3] / "results"


@pytest.fixture(scope="session")
def grids():
    return GRIDS.read(RESULTS)


@pytest.fixture(scope="session")
def page(grids):
    return explorer_page(grids, RESULTS)

"""What the tests of several commands share."""

from __future__ import annotations

import os

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def blank_pictures(monkeypatch):
    """Files as always, but with noise in place of the pictures: they take seconds, and other tests save true ones."""
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda figure: None)
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: file.write(os.urandom(16)))

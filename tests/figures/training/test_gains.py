"""The picture of what p = 1.2 changes in all studies."""

from __future__ import annotations

import pytest

from experiments.statistics import Contrasts
from experiments.studies.causes import Causes
from experiments.studies.figure_5 import Additivity, MuonPower
from experiments.studies.mixtures import Mixtures
from experiments.studies.paper import PaperStudies
from experiments.studies.sizes import Sizes
from figures.training.gains import changes, rows


def test_the_paper_stands_alone_while_nothing_is_completed():
    alone = rows(changes(Causes(), PaperStudies()))
    assert [row["mean"] for row in alone] == [-0.022, -0.028, -0.015]
    assert {row["low"] for row in alone} == {None}


@pytest.mark.parametrize(
    ("study", "settings"),
    [
        (
            {"additivity": Additivity.of({"P": [-0.1, -0.2], "B": [0.1, 0.2]})},
            ["β2 = 0.95, rates of Figure 5"],
        ),
        (
            {"muon": MuonPower.of({"slope 2": [0.1, 0.2], "0.9 2": [0.1, 0.2], "1.2 2": [-0.1, -0.2]})},
            ["batch 2"],
        ),
        (
            {"mixtures": Mixtures(Contrasts.of({"32": [-0.1, -0.2]}), Contrasts({}, {}), {}, {})},
            ["width 32"],
        ),
        (
            {
                "sizes": Sizes(
                    Contrasts.of({"123456 cos": [-0.1, -0.2]}), (), (0, 0, 0), {}, Contrasts({}, {})
                )
            },
            ["0.12M, cos"],
        ),
    ],
)
def test_each_of_the_papers_studies_has_its_changes(study, settings):
    found = rows(changes(Causes(), PaperStudies(**study)))[3:]
    assert [row["where"] for row in found] == settings
    assert all(row["mean"] == pytest.approx(-0.15) for row in found)
    assert all(row["low"] < row["mean"] < row["high"] for row in found)

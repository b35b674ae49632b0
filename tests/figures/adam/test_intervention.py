"""The figure and the page's section of the intervention."""

from __future__ import annotations

import numpy as np
import pytest

from figures.adam.intervention import draw, rows
from figures.report.intervention import intervention_section
from gradpower.tools.labels import Label
from gradpower.tools.provenance import provenance
from gradpower.tools.results import Provenance
from simulate.intervention.study import Design, InterventionResults
from tests.simulate.test_intervention import cells


def results(slope):
    rng = np.random.default_rng(0)
    origin = provenance("gradpower simulate intervention", {}) | {"config": Design()}
    return InterventionResults(Provenance(**origin), cells(slope, rng))


def test_a_mark_for_every_change():
    found = [change for cell in results(1.0).cells for change in cell.changes]
    (axis,) = draw(found).axes
    assert axis.get_title(loc="left") == "(a) uniform"
    assert len(axis.containers) == len(rows(found)) == 6
    drawn = sorted(float(container.lines[0].get_xdata()[0]) for container in axis.containers)
    assert drawn == pytest.approx(sorted(1e3 * row["predicted"] for row in rows(found)))


@pytest.mark.parametrize(
    ("slope", "label"), [(1.0, Label.REPRODUCED), (0.5, Label.IN_PART), (-1.0, Label.NOT_REPRODUCED)]
)
def test_every_label_has_its_words(slope, label):
    text = intervention_section(results(slope))
    assert f"**Verdict: {label.value}.**" in text
    assert "| strong, uniform | 6 |" in text
    assert "binary" not in text.replace("all but binary (post hoc)", "")
    assert ("decides the sign" in text) == (label is Label.REPRODUCED)


def test_a_study_that_was_not_made_says_how():
    assert "`gradpower simulate intervention` runs it" in intervention_section(None)

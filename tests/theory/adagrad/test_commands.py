"""The commands `gradpower theory assumptions` and `gradpower theory bound`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gradpower.__main__ import main


def assumptions(capsys, *flags):
    assert main(["theory", "assumptions", *flags, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["rows"]


def test_the_command_says_what_holds(capsys):
    rows = assumptions(capsys, "--law", "binary", "--power", "0.5", "1", "1.2", "--noise-to-signal", "0.2")
    assert [(row["assumption"], row["holds"]) for row in rows] == [
        ("4.6", True),
        ("Adagrad", True),
        ("4.9", True),
    ]
    (row,) = assumptions(capsys, "--law", "uniform", "--power", "2")
    assert not row["holds"]
    assert np.isclose(row["rho"], 1.01)
    low, high = assumptions(
        capsys, "--law", "two-point:0.2", "--power", "0.5", "1.5", "--noise-to-signal", "5"
    )
    assert low["c"] < 0
    assert high["rho"] is None
    assert not low["holds"]
    assert not high["holds"]
    (row,) = assumptions(capsys, "--law", "gaussian", "--power", "1.2")
    assert (row["rho"], row["largest_bound_to_noise"], row["holds"]) == (None, None, False)


def test_bounds_from_the_command_line(capsys):
    flags = "--theorem 4.8 --power 0.5 --steps 100 10000 --alignment 0.9 --json"
    assert main(["theory", "bound", *flags.split()]) == 0
    result = json.loads(capsys.readouterr().out)
    total = np.array(result["start"]) + result["variance"] + result["curvature"]
    np.testing.assert_allclose(result["bound"], total)


@pytest.mark.parametrize(
    "flags",
    [
        "bound --theorem 4.8 --power 1.5",
        "bound --theorem 4.5 --power 2",
        "bound --theorem 4.5 --alignment 0.5",
        "bound --steps 0.5",
        "bound --steps 0",
        "assumptions --power 1.2 --constant 5",
        "assumptions --power 1.2 --noise-to-signal -1",
        "assumptions --power 0.5 --bound-to-noise 0.5",
    ],
)
def test_bad_input_is_one_line(capsys, flags):
    assert main(["theory", *flags.split()]) == 2
    assert capsys.readouterr().err.count("\n") == 1

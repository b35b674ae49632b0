"""The noise example as the commands take it, and the command `gradpower theory update`."""

import json

import pytest

from gradpower.tools.errors import InputError
from gradpower.tools.terminal import Output
from theory.adam.commands import update
from theory.adam.example import Example


def test_the_noise_level_has_two_spellings():
    assert Example().sigma == pytest.approx(1e-5)
    assert Example(mean=2.0, noise_to_signal=3.0).sigma == 6.0
    assert Example(mean=2.0, noise_scale=5.0).inputs()["noise_to_signal"] == 2.5
    assert Example(law="student-t:4").noise_law.name == "student-t:4"


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("mean", {"mean": -1.0}),
        ("noise_to_signal", {"noise_to_signal": -1.0}),
        ("noise_scale", {"noise_scale": float("nan")}),
        ("noise_scale", {"noise_scale": 1.0, "noise_to_signal": 1.0}),
        ("noise_scale", {"mean": 1e200, "noise_to_signal": 1e200}),
        ("beta1", {"beta1": 1.0}),
        ("beta2", {"beta2": -0.5}),
        ("epsilon", {"epsilon": -1.0}),
        ("law", {"law": "cauchy"}),
        ("law", {"law": "empirical:/no/such/file"}),
    ],
)
def test_bad_flags_are_named(argument, changes):
    with pytest.raises(InputError, match=rf"^{argument}: "):
        Example(**changes)


def test_update_command(capsys):
    update(Example(), Output(json=True), power=1.2)
    result = json.loads(capsys.readouterr().out)
    assert result["update"] == pytest.approx(0.17254076, abs=1e-8)
    assert result["limit"] == pytest.approx(0.17760138503783876, rel=1e-12)
    assert {"rms", "power", "mean", "noise_scale", "law", "beta1", "beta2", "epsilon"} <= set(result)
    update(Example(law="student-t:2"), Output(json=True), power=1.2)
    assert json.loads(capsys.readouterr().out)["limit"] is None
    update(Example(law="student-t:3", beta1=0.99, beta2=0.5), Output(json=True), power=2.0)
    result = json.loads(capsys.readouterr().out)
    assert result["rms"] is None
    assert len(result["notes"]) == 2
    update(Example(law="student-t:2"), Output(), power=1.2, step=5)
    assert "no limit" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"^power: "):
        update(power=-1.0)

"""The commands: what they write and print, and that bad input is refused before any work."""

from __future__ import annotations

import functools
import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
import tyro

from figures import claims, commands, drift_to_rms, figure7
from figures.curves import Setting
from gradpower.__main__ import main
from theory.claims.claim import run_claim
from theory.claims.registry import CLAIMS

SMALL = Setting(noise_to_signal=(0.0, 2.0), trials=64)
QUICK = next(claim for claim in CLAIMS if claim.id == "4.3-stationarity")


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch):
    """Draw the quick figure 7 in place of the slow ones, with few powers."""
    monkeypatch.setattr(figure7, "POWERS", figure7.POWERS[::20])
    monkeypatch.setattr(figure7, "_COARSE", figure7.POWERS[::20])
    monkeypatch.setattr(drift_to_rms, "compute", lambda setting: figure7.compute(SMALL))
    monkeypatch.setattr(drift_to_rms, "rows", figure7.rows)
    monkeypatch.setattr(drift_to_rms, "draw", figure7.draw)


# Once for all reproductions, which see the same few powers.
computed_once = functools.cache(figure7.compute)
optima_once = functools.cache(commands.optimal_powers)


@pytest.fixture
def quick_reproduction(monkeypatch, tmp_path):
    """Reproduce two curves and one claim, and refresh a checkout of one's own."""
    root = tmp_path / "checkout"
    root.mkdir()
    monkeypatch.setattr(figure7, "compute", computed_once)
    monkeypatch.setattr(commands, "optimal_powers", optima_once)
    monkeypatch.setattr(commands, "_FIGURE_7", SMALL)
    monkeypatch.setattr(commands, "LAWS", ("uniform",))
    monkeypatch.setitem(commands._MODULES, "phase-diagram", drift_to_rms)
    monkeypatch.setattr(commands, "checkout", lambda: root)
    outcome = run_claim(QUICK)

    def pretend(changed):
        @contextmanager
        def checked():
            yield iter([changed])

        monkeypatch.setattr(claims, "checked_claims", checked)

    pretend(outcome)
    return root, lambda: pretend(replace(outcome, claim=replace(QUICK, expected="fails")))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_figure_7_writes_three_files(tmp_path, capsys):
    commands.figure("7", SMALL, tmp_path / "new")
    assert names(tmp_path / "new") == ["figure7.csv", "figure7.pdf", "figure7.png"]
    assert capsys.readouterr().out.count("wrote ") == 3
    first = [path.read_bytes() for path in sorted((tmp_path / "new").iterdir())]
    commands.figure("7", SMALL, tmp_path / "new")
    assert [path.read_bytes() for path in sorted((tmp_path / "new").iterdir())] == first


def test_the_command_in_the_csv_repeats_it(tmp_path, blank_pictures):
    commands.figure("7", replace(SMALL, law=("gaussian",), beta2=0.9), tmp_path)
    head = (tmp_path / "figure7_gaussian.csv").read_text(encoding="utf-8").splitlines()[0]
    command = json.loads(head.removeprefix("# command: "))
    assert command == ("gradpower figure 7 --law gaussian --noise-to-signal 0.0 2.0 --beta2 0.9 --trials 64")
    assert str(tmp_path) not in (tmp_path / "figure7_gaussian.csv").read_text(encoding="utf-8")


def test_json_is_one_object_on_stdout(tmp_path, capsys, blank_pictures):
    flags = f"7 --noise-to-signal 2 --trials 64 --json --output {tmp_path}"
    tyro.cli(commands.figure, args=flags.split())
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["config"]["noise_to_signal"] == [2.0]
    assert {row["series"] for row in result["rows"]} >= {"exact", "limit", "monte-carlo", "optimum"}
    assert captured.err.count("wrote ") == 3


def test_phase_diagram_prints_a_table(tmp_path, capsys):
    commands.phase_diagram(Setting(law=("uniform",), noise_to_signal=(0.5, 10.0)), tmp_path)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line and line[0] in ("0.5", "10")] == [
        ["0.5", "→", "0"],
        ["10", "1.2205"],
    ]
    assert names(tmp_path) == [f"phase_diagram_uniform.{suffix}" for suffix in ("csv", "pdf", "png")]


def test_reproduce_writes_everything_and_refreshes_the_checkout(
    tmp_path, capsys, quick_reproduction, blank_pictures
):
    root, _ = quick_reproduction
    assert commands.reproduce(tmp_path / "out", update=True) == 0
    assert {"figure7.pdf", "drift_to_rms.csv", "theory.json", "paper_repro.md"} <= set(
        names(tmp_path / "out")
    )
    assert names(root) == ["docs", "paper_repro.md", "results"]
    assert (root / "docs" / "figure7.png").read_bytes() == (tmp_path / "out" / "figure7.png").read_bytes()
    assert (root / "paper_repro.md").read_text() == (tmp_path / "out" / "paper_repro.md").read_text()
    printed = capsys.readouterr().out
    assert QUICK.id in printed
    assert "Optimal powers" in printed
    assert str(root / "results" / "theory.json") in printed


def test_reproduce_leaves_the_checkout_alone_unless_asked(tmp_path, quick_reproduction, blank_pictures):
    root, _ = quick_reproduction
    assert commands.reproduce(tmp_path / "out") == 0
    assert names(root) == []


def test_a_changed_verdict_is_exit_code_1(tmp_path, quick_reproduction, blank_pictures):
    _, change = quick_reproduction
    change()
    assert commands.reproduce(tmp_path / "out") == 1


@pytest.mark.parametrize("command", ["reproduce", "figure 7", "figure phase-diagram", "theory phase-diagram"])
def test_an_output_that_is_a_file_is_refused_before_any_work(tmp_path, monkeypatch, capsys, command):
    def work(*_):
        pytest.fail("worked before checking")

    monkeypatch.setattr(commands, "_make", work)
    file = tmp_path / "file"
    file.touch()
    assert main([*command.split(), "--output", str(file)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gradpower: error: output: ")
    assert captured.err.count("\n") == 1
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("figure 8", "'8'"),
        ("figure 7 --law cauchy", "law: cauchy"),
        ("figure 7 --mean 0", "mean: 0.0"),
        ("figure 7 --noise-to-signal -1", "noise_to_signal: -1.0"),
        ("theory phase-diagram --epsilon -1", "epsilon: -1.0"),
    ],
)
def test_bad_flags_are_named_and_nothing_is_written(tmp_path, monkeypatch, capsys, flags, named):
    monkeypatch.chdir(tmp_path)
    assert main(flags.split()) == 2
    captured = capsys.readouterr()
    assert named in captured.err
    assert "Traceback" not in captured.err
    assert names(tmp_path) == []


def test_update_needs_a_checkout(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands, "checkout", lambda: None)
    assert main(["reproduce", "--update", "--output", str(tmp_path / "out")]) == 2
    assert "update: True is not allowed; expected a run from a git checkout" in capsys.readouterr().err
    assert names(tmp_path) == []


def test_claims_are_checked_in_another_process():
    with claims.checked_claims() as checked:
        first = next(checked)
    assert first == run_claim(CLAIMS[0])

"""The commands: what they write and print, and that bad input is refused before any work."""

from __future__ import annotations

import csv
import functools
import json
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import tyro

from figures import checked_claims, commands, registry
from figures.adam import drift_to_rms, figure7
from figures.adam.example import Setting
from figures.results import THEORY
from gradpower.__main__ import main
from theory.claims.claim import run_claim
from theory.claims.registry import CLAIMS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
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
    """Reproduce two curves and one claim."""
    monkeypatch.setattr(figure7, "compute", computed_once)
    monkeypatch.setattr(commands, "optimal_powers", optima_once)
    monkeypatch.setattr(commands, "_FIGURE_7", SMALL)
    monkeypatch.setattr(commands, "LAWS", ("uniform",))
    monkeypatch.setitem(registry.FIGURES, "phase-diagram", registry.FIGURES["drift-to-rms"])
    outcome = run_claim(QUICK)

    def pretend(changed):
        @contextmanager
        def checked():
            yield iter([changed])

        monkeypatch.setattr(checked_claims, "checked_claims", checked)

    pretend(outcome)
    return lambda: pretend(replace(outcome, claim=replace(QUICK, expected="fails")))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_figure_7_writes_three_files(tmp_path, capsys):
    commands.figure("7", (), SMALL, tmp_path / "new")
    assert names(tmp_path / "new") == ["figure7.csv", "figure7.pdf", "figure7.png"]
    assert capsys.readouterr().out.count("wrote ") == 3
    first = [path.read_bytes() for path in sorted((tmp_path / "new").iterdir())]
    commands.figure("7", (), SMALL, tmp_path / "new")
    assert [path.read_bytes() for path in sorted((tmp_path / "new").iterdir())] == first


def test_the_command_in_the_csv_repeats_it(tmp_path, blank_pictures):
    commands.figure("7", (), replace(SMALL, law=("gaussian",), beta2=0.9), tmp_path)
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


def rows_of(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("# ")))


def test_the_csv_has_the_setting_and_what_is_drawn(tmp_path, blank_pictures):
    flags = f"7 --noise-to-signal 2 --trials 64 --output {tmp_path}"
    tyro.cli(commands.figure, args=flags.split())
    config = (tmp_path / "figure7.csv").read_text(encoding="utf-8").splitlines()[1]
    assert json.loads(config.removeprefix("# config: "))["noise_to_signal"] == [2.0]
    drawn = {row["series"] for row in rows_of(tmp_path / "figure7.csv")}
    assert drawn >= {"exact", "limit", "monte-carlo", "optimum"}


def test_reproduce_writes_everything(tmp_path, capsys, quick_reproduction, blank_pictures):
    assert commands.reproduce(tmp_path) == 0
    stems = ("figure7", "drift_to_rms")
    assert names(tmp_path) == sorted(
        [f"{stem}.{end}" for stem in stems for end in ("csv", "pdf", "png")]
        + [f"drift_to_rms_uniform.{end}" for end in ("csv", "pdf", "png")]
        + ["docs", "paper_repro.md", "theory.json"]
    )
    printed = capsys.readouterr().out
    assert QUICK.id in printed
    assert "Optimal powers" in printed
    content = THEORY.read(tmp_path)
    assert [claim.id for claim in content.claims] == [QUICK.id]
    assert f"## {QUICK.id}" in (tmp_path / "docs" / "claims.md").read_text(encoding="utf-8")
    assert "docs/claims.md" in (tmp_path / "paper_repro.md").read_text(encoding="utf-8")


def test_a_changed_verdict_is_exit_code_1(tmp_path, quick_reproduction, blank_pictures):
    quick_reproduction()
    assert commands.reproduce(tmp_path) == 1


def test_figures_are_listed(capsys):
    assert main(["figure"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(registry.FIGURES)
    assert main(["figure", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(registry.FIGURES)


@pytest.mark.parametrize("name", registry.FIGURES)
def test_every_figure_keeps_the_protocol(name):
    file, entry = registry.module(name), registry.FIGURES[name]
    assert callable(file.rows)
    assert callable(file.draw)
    assert callable(file.read if entry.sources else file.compute)


@pytest.mark.parametrize("name", [name for name, entry in registry.FIGURES.items() if entry.default])
def test_what_is_committed_is_drawn_without_being_named(tmp_path, blank_pictures, name):
    assert main(["figure", name, "--output", str(tmp_path)]) == 0
    stem = registry.FIGURES[name].stem
    assert rows_of(tmp_path / f"{stem}.csv")
    assert names(tmp_path) == [f"{stem}.{end}" for end in ("csv", "pdf", "png")]


@pytest.mark.parametrize("name", ["where", "gains", "memory"])
def test_a_folder_without_the_studies_is_refused(name, tmp_path, capsys):
    assert main(["figure", name, str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "expected the folder of these studies, as results/causes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def copy_of_the_checkout(tmp_path, monkeypatch):
    """A checkout of which only what the report needs and writes is there."""
    root = tmp_path / "root"
    shutil.copytree(ROOT / "results", root / "results")
    (root / "docs" / "guide").mkdir(parents=True)
    monkeypatch.setattr(commands, "checkout_to_refresh", lambda: root)
    return root


def test_report_takes_new_results_into_the_checkout(
    tmp_path, capsys, copy_of_the_checkout, quick_reproduction, blank_pictures
):
    root, new = copy_of_the_checkout, tmp_path / "new"
    new.mkdir()
    text = (ROOT / "results" / "step_time.json").read_text(encoding="utf-8")
    (new / "step_time.json").write_text(text.replace("2 cores", "3 cores"), encoding="utf-8")
    assert main(["report", "--folder", str(new), "--update"]) == 0
    assert "3 cores" in (root / "results" / "step_time.json").read_text(encoding="utf-8")
    page = (root / "paper_repro.md").read_text(encoding="utf-8")
    assert page.replace("3 cores", "2 cores") == (ROOT / "paper_repro.md").read_text(encoding="utf-8")
    for written in (Path("docs", "guide", "choosing_p.md"), Path("docs", "convergence.md")):
        assert (root / written).read_text() == (ROOT / written).read_text()
    pictures = {path.name for path in (ROOT / "docs").glob("*.png")} - {"pocket_curves.png"}  # of runs
    assert names(root / "docs") == sorted(["claims.md", "convergence.md", "guide", *pictures])


def test_report_leaves_the_checkout_alone_unless_asked(tmp_path, copy_of_the_checkout):
    assert main(["report", "--folder", str(tmp_path / "out")]) == 2  # mistyped
    (tmp_path / "out").mkdir()
    assert main(["report", "--folder", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "paper_repro.md").read_text() == (ROOT / "paper_repro.md").read_text()
    assert names(copy_of_the_checkout) == ["docs", "results"]


def test_damaged_results_are_not_taken(tmp_path, capsys, copy_of_the_checkout):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "convergence.json").write_text("{}", encoding="utf-8")
    assert main(["report", "--folder", str(tmp_path / "new"), "--update"]) == 2
    assert "convergence.json" in capsys.readouterr().err
    assert names(copy_of_the_checkout) == ["docs", "results"]
    committed = ROOT / "results" / "convergence.json"
    assert (copy_of_the_checkout / "results" / "convergence.json").read_bytes() == committed.read_bytes()


@pytest.mark.parametrize("command", ["reproduce", "figure 7", "figure phase-diagram"])
def test_an_output_that_is_a_file_is_refused_before_any_work(tmp_path, monkeypatch, capsys, command):
    def work(*_):
        pytest.fail("worked before checking")

    monkeypatch.setattr(registry, "figure_data", work)
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
        ("figure 8", "name: 8"),
        ("figure 7 runs", "sources: runs"),
        ("figure gain --law uniform", "law: "),
        ("figure exponents --beta1 0.5", "beta1: 0.5"),
        ("figure phase-diagram --trials 4", "trials: 4"),
        ("figure curves", "sources: none"),
        ("figure 7 --law cauchy", "law: cauchy"),
        ("figure 7 --mean 0", "mean: 0.0"),
        ("figure 7 --noise-to-signal -1", "noise_to_signal: -1.0"),
        ("figure phase-diagram --epsilon -1", "epsilon: -1.0"),
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
    assert main(["report", "--update", "--folder", str(tmp_path)]) == 2
    assert "update: True is not allowed; expected a run from a git checkout" in capsys.readouterr().err
    assert names(tmp_path) == []


def test_claims_are_checked_in_another_process():
    with checked_claims.checked_claims() as checked:
        first = next(checked)
    assert first == run_claim(CLAIMS[0])

"""The command line: what it answers without importing another package, and how it words every kind of failure."""

from __future__ import annotations

import doctest
import errno
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest
import tyro

from gradpower import __main__ as command_line
from gradpower.commands import Command
from gradpower.tools.errors import InputError

ROOT = Path(__file__).parents[2]
HEAVY = ["numpy", "tyro", "torch", "matplotlib", "theory", "simulate", "experiments", "figures"]


@dataclass(frozen=True)
class Settings:
    power: float = 1.2
    """The power p."""

    def __post_init__(self) -> None:
        if self.power <= 0:
            raise InputError("power", self.power, "a finite number > 0")


def fake(
    settings: tyro.conf.OmitArgPrefixes[Settings],
    law: Literal["uniform", "gaussian"] = "uniform",
    steps: int = 3,
    output: Annotated[Path, tyro.conf.arg(help="where to write")] = Path("out"),
) -> int | None:
    """Do what the test says.

    A second paragraph.

    Parameters
    ----------
    law : str
        The noise law.
    """
    print(f"{settings.power} {law} {steps} {output}")
    return None


def call(monkeypatch: pytest.MonkeyPatch, function: object, *flags: str) -> int:
    monkeypatch.setitem(sys.modules, "fake_room", SimpleNamespace(command=function))
    command = Command("fake_room:command", "a fake", "gradpower fake run --power 2")
    monkeypatch.setitem(command_line.COMMANDS, "fake run", command)
    return command_line.main(["fake", "run", *flags])


def raising(error: BaseException):
    def command() -> int:
        """Fail."""
        raise error

    return command


def one_error_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gradpower: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["theory"], ["theory", "--help"], ["simulate", "-h"], ["--version"]]
)
def test_overviews_import_no_other_package(words):
    script = f"""
import sys
from gradpower.__main__ import main
code = main({words})
loaded = set(sys.modules) & set({HEAVY})
assert code == 0 and not loaded, loaded
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "gradpower" in done.stdout


def test_docstring_example_runs():
    # pytest leaves __main__ modules out of its doctests.
    assert doctest.testmod(command_line, optionflags=doctest.ELLIPSIS) == (0, 1)


def test_overview_shows_an_example_of_every_command(capsys):
    assert command_line.main([]) == 0
    overview = capsys.readouterr().out
    assert max(map(len, overview.splitlines())) <= 80
    for name, command in command_line.COMMANDS.items():
        assert f"\n  {name}\n" in overview
        assert command.example in overview
        assert command.example.startswith(f"gradpower {name}")


def test_overview_of_a_group_shows_that_group_only(capsys):
    assert command_line.main(["theory"]) == 0
    overview = capsys.readouterr().out
    assert "theory update" in overview
    assert "simulate adam" not in overview


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["reproduc", "--output", "x"], "reproduce"),
        (["theory", "updat"], "theory update"),
        (["theroy", "check"], "theory check"),
        (["thoery"], "theory"),
        (["simulat"], "simulate"),
        (["figur", "7"], "figure"),
        (["optimal-power"], "theory optimal-power"),
    ],
)
def test_unknown_command_names_the_nearest(capsys, words, nearest):
    assert command_line.main(words) == 2
    line = one_error_line(capsys)
    assert f"did you mean {nearest}?" in line
    assert all(name in line for name in command_line.COMMANDS)


def test_unknown_command_unlike_any(capsys):
    assert command_line.main(["--zzz"]) == 2
    assert "unknown command '--zzz'; allowed: " in one_error_line(capsys)


def test_flags_reach_the_command(monkeypatch, capsys):
    assert call(monkeypatch, fake, "--power", "2", "--law", "gaussian", "--output", "a/b") == 0
    assert capsys.readouterr().out == "2.0 gaussian 3 a/b\n"


@pytest.mark.parametrize("code", [0, 1, None])
def test_exit_code_is_the_commands(monkeypatch, code):
    assert call(monkeypatch, lambda: code) == (code or 0)


def test_command_help_is_printed_in_full(monkeypatch, capsys):
    assert call(monkeypatch, fake, "--help") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for part in ["Do what the test says.", "A second paragraph.", "--law", "The noise law.", "The power p."]:
        assert part in captured.out
    assert "example: gradpower fake run --power 2" in captured.out
    assert "Parameters" not in captured.out


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--power", "x"], "--power"),
        (["--law", "c"], "--law"),
        (["--steps", "2.5"], "--steps"),
        (["--powr", "3"], "--power"),  # the nearest
        (["stray"], "stray"),
        (["--law"], "--law"),
        (["--power", "-1"], "a finite number > 0"),
    ],
)
def test_bad_flags_are_named_and_the_command_is_not_run(monkeypatch, capsys, flags, named):
    assert call(monkeypatch, fake, *flags) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    message = " ".join(captured.err.split())  # it is wrapped to the terminal's width
    assert named in message
    assert "fake run --help" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("flags", [["--power", "x"], ["--help"]])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_any_encoding_of_the_terminal_serves(encoding, flags):
    environment = {"PYTHONIOENCODING": encoding, "TERM": "xterm"}
    command = [sys.executable, "-m", "gradpower", "theory", "update", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == (0 if flags == ["--help"] else 2), done.stderr
    assert "--power FLOAT" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            InputError("mean", 0.0, "a finite number > 0"),
            "mean: 0.0 is not allowed; expected a finite number > 0",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "out/a.pdf"), "out/a.pdf: Permission denied"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "out"), "out: Is a directory"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
)
def test_the_users_errors_make_one_line(monkeypatch, capsys, error, line):
    assert call(monkeypatch, raising(error)) == 2
    assert one_error_line(capsys) == f"gradpower: error: {line}\n"


def test_interrupt_makes_one_line(monkeypatch, capsys):
    assert call(monkeypatch, raising(KeyboardInterrupt())) == 130
    assert one_error_line(capsys) == "gradpower: error: interrupted\n"


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("a bug"), ZeroDivisionError("a bug")])
def test_bugs_keep_their_traceback(monkeypatch, error):
    with pytest.raises(type(error), match="a bug"):
        call(monkeypatch, raising(error))


def test_a_reader_that_leaves_is_not_an_error():
    script = """
from gradpower import __main__ as command_line
command_line._overview = lambda group: "x" * 10**6
raise SystemExit(command_line.main([]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.read(1) == b"x"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


@pytest.mark.parametrize("name", command_line.COMMANDS)
def test_help_fits_a_terminal_and_examples_use_flags_that_exist(monkeypatch, capsys, name):
    monkeypatch.setenv("COLUMNS", "80")
    command = command_line.COMMANDS[name]
    assert command_line.main([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in command.example.split() if word.startswith("--"))
    assert max(map(len, shown.splitlines())) <= 80


def test_long_help_is_short_unless_all_of_it_is_asked_for(capsys):
    for name, command in command_line.COMMANDS.items():
        assert command_line.main([*name.split(), "--help"]) == 0
        shown = capsys.readouterr().out.splitlines()
        assert len(shown) <= 80, name
        assert all(
            any(line.startswith(f"  {flag} ") or line == f"  {flag}" for line in shown)
            for flag in command.often
        )
        assert command_line.main([*name.split(), "--help-all"]) == 0
        whole = capsys.readouterr().out.splitlines()
        assert len(whole) > len(shown) if command.often else whole == shown

"""The command line: `gradpower COMMAND` imports the package that a command lives in, and only that one.

The overviews (`gradpower`, `gradpower theory`, `--help`, `--version`) are answered from `gradpower.commands`,
without importing any. A command is a plain function whose parameters are its flags and docstring its help.

Exit codes: 0 done, 1 the command's own "no" (a claim whose verdict changed), 2 bad input or no place for the
output, 130 interrupted, 141 nobody left to read the output. Anything else is a bug and shows its traceback.
"""

import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gradpower.commands import COMMANDS

HELP = ("-h", "--help", "--help-all")
PACKAGES = ("theory", "simulate", "experiments", "figures")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after `gradpower`; those of the process by default.

    Examples
    --------
    >>> main(["theory", "--help"])
    usage: gradpower theory COMMAND [FLAGS]
    ...
    0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may lack letters of our formulas
    try:
        code = _answer(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _complain("interrupted", code=130)
    except BrokenPipeError:
        # The reader is gone; without this, the interpreter's last flush would complain about it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def _answer(words: list[str]) -> int:
    for name in (" ".join(words[:2]), " ".join(words[:1])):
        if name in COMMANDS:
            return _run(name, flags=words[len(name.split()) :])
    groups = {name.split()[0] for name in COMMANDS}
    group, rest = (words[0], words[1:]) if words and words[0] in groups else ("", words)
    if not rest or rest[0] in HELP:
        print(_overview(group))
        return 0
    if words == ["--version"]:
        from gradpower import __version__

        print(f"gradpower {__version__}")
        return 0
    return _complain(_unknown(words))


def _overview(group: str) -> str:
    from textwrap import wrap

    lines = [f"usage: {' '.join(f'gradpower {group}'.split())} COMMAND [FLAGS]", ""]
    for name, command in COMMANDS.items():
        if name.startswith(group):
            lines += [f"  {name}", *(f"      {line}" for line in wrap(command.help, 74))]
            lines.append(f"      $ {command.example}")
    return "\n".join([*lines, "", "Every command explains its flags: gradpower COMMAND --help"])


def _unknown(words: list[str]) -> str:
    from itertools import takewhile

    from gradpower.tools.errors import nearest

    typed = " ".join(takewhile(lambda word: not word.startswith("-"), words[:2])) or words[0]
    names = [*COMMANDS, *(name.split()[0] for name in COMMANDS)]
    hint = nearest(typed, names) or nearest(words[0], names)
    return f"unknown command '{typed}'{hint}; allowed: {', '.join(COMMANDS)}"


def _run(name: str, flags: list[str]) -> int:
    from pkgutil import resolve_name

    from gradpower.tools.errors import InputError

    command = COMMANDS[name]
    if not _in_checkout():
        return _complain(f"'{name}' comes with the repository: clone it, and run `make install` there")
    try:
        function = resolve_name(command.function)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in PACKAGES:
            raise
        return _complain(f"'{name}' needs {error.name}: pip install -e '.[train]' in the checkout has it")
    often = () if "--help-all" in flags else command.often
    flags = ["--help" if flag == "--help-all" else flag for flag in flags]
    try:
        if command.prepared:
            function, flags = function(flags)
        return _parse(function, name, flags, often)() or 0
    except InputError as error:
        return _complain(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno is None:
            raise
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))


def _in_checkout() -> bool:
    """Return whether the other packages are there, and let them win over folders of the user's of the same name."""
    root = str(Path(__file__).resolve().parents[1])
    if not all((Path(root) / package / "__init__.py").is_file() for package in PACKAGES):
        return False
    if sys.path[:1] != [root]:
        sys.path.insert(0, root)
    return True


def _parse(
    function: Callable[..., int | None], name: str, flags: list[str], often: Sequence[str] = ()
) -> Callable[[], int | None]:
    """Return the call that `flags` describe, not yet made: what tyro says of flags is its own."""
    import contextlib
    import functools

    import tyro

    @functools.wraps(function)
    def deferred(*arguments: object, **keywords: object) -> Callable[[], int | None]:
        return functools.partial(function, *arguments, **keywords)

    shown = io.StringIO()
    try:
        program = f"gradpower {name}{' RECIPE' if COMMANDS[name].prepared else ''}"
        with contextlib.redirect_stdout(shown):
            return tyro.cli(deferred, prog=program, description=_description(function, name), args=flags)
    except SystemExit as stop:  # after the help, or tyro's message
        print(_wrapped(_short(shown.getvalue(), often)), end="")
        code = int(stop.code or 0)
        return lambda: code


def _short(text: str, often: Sequence[str]) -> str:
    """Keep the flags that are used often of a help text."""
    import re

    if not text or not often:
        return text
    head, *entries = re.split(r"\n(?=  -)", text)
    names = [re.split(r"[ ,\n]", entry.strip())[0] for entry in entries]
    # The last entry of a section is followed by an empty line and the next one's title.
    kept = [
        re.split(r"\n *\n", entry)[0] for name, entry in zip(names, entries, strict=True) if name in often
    ]
    return "\n".join([head, *kept, "", f"{len(names) - len(kept)} more flags: --help-all"])


def _wrapped(text: str) -> str:
    """Return a text with its long lines broken to the terminal's width: tyro breaks flags, and not descriptions."""
    from shutil import get_terminal_size
    from textwrap import fill

    width = get_terminal_size().columns
    return "".join(f"{fill(line, width) if len(line) > width else line}\n" for line in text.splitlines())


def _description(function: Callable[..., object], name: str) -> str:
    """Return the prose of the docstring, up to its first NumPy section, and the table's example."""
    import inspect
    import re

    prose = re.split(r"\n\w[\w ]*\n-{3,}\n", inspect.getdoc(function) or COMMANDS[name].help)[0]
    return f"{prose.strip()}\n\nexample: {COMMANDS[name].example}"


def _complain(message: str, code: int = 2) -> int:
    print(f"gradpower: error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

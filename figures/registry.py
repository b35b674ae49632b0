"""All figures by name. A figure is one file: it computes or reads its data, gives them as rows, and draws them.

Every file has `FILE` (the name of what is written), `rows(data)` and `draw(data)`, and one of `compute(setting)`,
`compute()` and `read(sources)`, as its entry says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from figures.adam.example import Setting
from figures.style import save
from gradpower.tools.errors import require
from gradpower.tools.results import find_result


@dataclass(frozen=True)
class Entry:
    """A figure: its file, what it shows, and what it takes."""

    module: str
    help: str  # one line for the list of figures
    flags: tuple[str, ...] = ()  # of the noise example that it is computed from
    sources: str = ""  # what it reads instead
    default: str = ""  # where that lies in results if none is named


_EXAMPLE = ("law", "noise_to_signal", "mean", "beta1", "beta2", "epsilon")


def _adam(file: str, shows: str, *more: str) -> Entry:
    return Entry(f"figures.adam.{file}", shows, flags=(*_EXAMPLE, *more))


def _answer(file: str, shows: str) -> Entry:
    return Entry(
        f"figures.convergence.{file}", shows, sources="a convergence.json", default="convergence.json"
    )


def _training(file: str, shows: str, sources: str, default: str = "") -> Entry:
    return Entry(f"figures.training.{file}", shows, sources=sources, default=default)


_DEFAULT = Setting()
_STUDY = "a study's name, its .toml file, its folder, or its summary.json"
FIGURES = {
    "7": _adam("figure7", "Figure 7: the mean update against the power", "trials", "seed"),
    "drift-to-rms": _adam("drift_to_rms", "Figure 7 with drift/RMS, which leaves size aside"),
    "phase-diagram": _adam("phase_diagram", "the best power by noise ratio, noise law and ε"),
    "intervention": Entry(
        "figures.adam.intervention",
        "what a power changes against what the theory predicts, by the law of the noise",
        sources="an intervention.json",
        default="intervention/intervention.json",
    ),
    "distortion": Entry("figures.convergence.distortion", "what the power does to a problem", flags=("law",)),
    "assumptions": Entry("figures.convergence.assumptions", "where Assumptions 4.6 and 4.9 hold"),
    "convergence-bounds": Entry("figures.convergence.bounds", "Section 4.2's bounds against averages"),
    "exponents": _answer("exponents", "how fast averages fall at low noise"),
    "gain": _answer("gain", "the gain over Adagrad at high noise"),
    "step-time": _training("step_time", "what the power costs", "a step_time.json", "step_time.json"),
    "curves": _training("curves", "losses of training runs", "folders of runs"),
    "sweep-losses": _training(
        "sweep_losses",
        "Figures 2 and 6 at our size, or any study's losses, judged by its rule",
        _STUDY,
        "batch_size/pocket/main.json",
    ),
    "gradient-noise": _training(
        "gradient_noise",
        "gradient noise, and the powers it predicts",
        "a noise.json, or its folder",
        "causes/noise.json",
    ),
    "where": _training(
        "where",
        "where p = 1.2 gains: in which modules, on which tokens",
        "the folder of modules.json and tokens.json",
        "causes",
    ),
    "memory": _training(
        "memory",
        "what p = 1.2 and a longer memory of v do, alone and together",
        "a summary.json of that study",
        "causes/memory.json",
    ),
}


def module(name: str) -> Any:
    """Return a figure's file, or raise InputError for a name that no figure has."""
    require(name in FIGURES, "name", name, f"one of {', '.join(FIGURES)}")
    return import_module(FIGURES[name].module)


def check_flags(name: str, setting: Setting) -> None:
    """Raise InputError for a flag that a figure does not take."""
    takes = FIGURES[name].flags
    for flag in fields(setting):
        value = getattr(setting, flag.name)
        allowed = f"no such flag: figure {name} takes {', '.join(takes) or 'none'}"
        require(flag.name in takes or value == flag.default, flag.name, value, allowed)


def figure_data(
    name: str, setting: Setting = _DEFAULT, sources: Sequence[Path] = (), folder: Path = Path()
) -> Any:
    """Return the data of a figure: computed from `setting`, or read from `sources`.

    If none are named, the default is read, from `folder` or the checkout.
    """
    file, entry = module(name), FIGURES[name]
    if entry.sources:
        default = find_result(entry.default, folder) if entry.default and not sources else None
        chosen = [default] if default else list(sources)
        require(chosen, "sources", "none", f"{entry.sources}, for figure {name}")
        return file.read(chosen)
    require(not sources, "sources", " ".join(map(str, sources)), f"none, as {name} is computed")
    return file.compute(setting) if entry.flags else file.compute()


def save_figure(
    name: str, data: Any, origin: Mapping[str, Any], folder: Path, laws: Sequence[str] = ()
) -> list[Path]:
    """Draw a figure and write it with its rows; laws other than its own are part of the files' names."""
    file = module(name)
    words = (
        [] if tuple(laws) in ((), getattr(file, "LAWS", ())) else [re.sub(r"\W+", "-", law) for law in laws]
    )
    return [*save(file.draw(data), file.rows(data), origin, folder, "_".join([file.FILE, *words]))]

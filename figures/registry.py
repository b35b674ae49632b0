"""All figures by name. A figure is one file: it computes or reads its data, gives them as rows, and draws them.

Every file has `rows(data)` and `draw(data)`, and one of `compute(setting)`, `compute()` and `read(sources)`, as its
entry says.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from figures.adam.example import Setting
from figures.style import save
from gradpower.tools.errors import require
from gradpower.tools.provenance import provenance
from gradpower.tools.results import find_result


@dataclass(frozen=True)
class Entry:
    """A figure: its file within `figures`, what it shows, and what it takes."""

    file: str
    help: str  # one line for the list of figures
    sources: str = ""  # what it reads
    default: str = ""  # where that lies in results if none is named
    flags: tuple[str, ...] = ()  # of the noise example that it is computed from instead
    written: str = ""  # the name of what is written, if not the file's own

    @property
    def stem(self) -> str:
        """The name of what is written, without its end."""
        return self.written or self.file.rpartition(".")[2]


_EXAMPLE = ("law", "noise_to_signal", "mean", "beta1", "beta2", "epsilon")
_ANSWERS = ("a convergence.json", "convergence.json")
_DEFAULT = Setting()
FIGURES = {
    "7": Entry(
        "adam.figure7", "Figure 7: the mean update against the power", flags=(*_EXAMPLE, "trials", "seed")
    ),
    "drift-to-rms": Entry(
        "adam.drift_to_rms", "Figure 7 with drift/RMS, which leaves size aside", flags=_EXAMPLE
    ),
    "phase-diagram": Entry(
        "adam.phase_diagram", "the best power by noise ratio, noise law and ε", flags=_EXAMPLE
    ),
    "intervention": Entry(
        "adam.intervention",
        "what a power changes against what the theory predicts, by the law of the noise",
        "an intervention.json",
        "intervention/intervention.json",
    ),
    "intervention-memory": Entry(
        "adam.intervention",
        "the same for powers with other memories of v",
        "an intervention.json",
        "intervention/memory.json",
        written="intervention_memory",
    ),
    "exponents": Entry(
        "convergence.exponents",
        "how fast averages fall at low noise",
        *_ANSWERS,
        written="convergence_exponents",
    ),
    "gain": Entry(
        "convergence.gain", "the gain over Adagrad at high noise", *_ANSWERS, written="convergence_gain"
    ),
    "step-time": Entry("training.step_time", "what the power costs", "a step_time.json", "step_time.json"),
    "curves": Entry(
        "training.curves", "losses of training runs", "folders of runs", written="training_curves"
    ),
    "sweep-losses": Entry(
        "training.sweep_losses",
        "Figures 2 and 6 at our size, or any study's losses, judged by its rule",
        "a study's name, its .toml file, its folder, or its summary.json",
        "batch_size/pocket/main.json",
    ),
    "gradient-noise": Entry(
        "training.gradient_noise",
        "gradient noise, and the powers it predicts",
        "a noise.json, or its folder",
        "causes/noise.json",
    ),
    "noise-bias": Entry(
        "training.noise_bias",
        "Adam's bias under skewed noise, exactly and for measured gradients",
        "a noise.json, or its folder",
        "causes/noise.json",
    ),
    "gains": Entry(
        "training.gains",
        "what p = 1.2 changes of the loss by memory of v and batch size, beside the paper",
        "the folder of these studies, as results/causes, beside which results/paper lies",
        "causes",
    ),
    "where": Entry(
        "training.where",
        "where and when p = 1.2 gains, and what makes it gain",
        "the folder of these studies, as results/causes",
        "causes",
    ),
    "memory": Entry(
        "training.memory",
        "what a power and a longer memory of v do, alone and together",
        "the folder of these studies, as results/causes",
        "causes",
    ),
}


def module(name: str) -> Any:
    """Return a figure's file."""
    return import_module(f"figures.{FIGURES[name].file}")


def check(name: str, setting: Setting) -> None:
    """Raise InputError for a name that no figure has, or a flag that the figure does not take."""
    require(name in FIGURES, "name", name, f"one of {', '.join(FIGURES)}")
    takes = FIGURES[name].flags
    for flag in fields(setting):
        value = getattr(setting, flag.name)
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        allowed = f"one of {', '.join(takes)}" if takes else "no flag of the noise example"
        require(flag.name in takes or value == flag.default, flag.name, shown, f"{allowed} for figure {name}")


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


def draw_figure(
    command: str,
    name: str,
    output: Path,
    setting: Setting = _DEFAULT,
    sources: Sequence[Path] = (),
    results: Path | None = None,
) -> tuple[list[Path], dict[str, Any]]:
    """Draw a figure from its data, see `figure_data`, and write it; results lie in the output folder by default.

    Return the files, and the rows with their provenance. Laws other than the figure's own are part of the files' names.
    """
    file, entry = module(name), FIGURES[name]
    data = figure_data(name, setting, sources, results or output)
    own = getattr(file, "LAWS", ())
    laws = setting.law or own
    config: dict[str, Any] = {"sources": [path.name for path in sources]}
    if not entry.sources:
        config = asdict(setting) | {"law": list(laws)}
    origin, rows = provenance(command, config), file.rows(data)
    words = [] if laws == own else [re.sub(r"\W+", "-", law) for law in laws]
    written = save(file.draw(data), rows, origin, output, "_".join([entry.stem, *words]))
    return written, {"rows": rows, **origin}

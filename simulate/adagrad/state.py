"""The state of an unfinished Adagrad simulation: how it advances, and how it is kept in a file."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from gradpower.tools.errors import InputError, require
from gradpower.tools.files import write_file
from simulate.adagrad import kernel
from simulate.adagrad.descent import Descent
from simulate.adagrad.kernel import ARMS, LANES, ROWS, RUNS
from theory.numerics.inputs import Array

QUANTITIES = ("mean_square", "mean_power", "mean_absolute", "smallest_square", "value", "largest_gradient")


@dataclass
class AdagradState:
    """Where all runs of all arms are; arms go in tiles of ARMS, runs in blocks of RUNS."""

    steps_done: np.ndarray[Any, np.dtype[np.int64]]  # (blocks, tiles)
    theta: Array  # (blocks, tiles, d, LANES)
    v: Array
    work: Array  # rows of the kernel, (blocks, tiles, ROWS·LANES)
    curves: Array  # QUANTITIES at the checkpoints passed, (checkpoints, quantities, blocks, tiles, LANES)

    def advance(self, descent: Descent, block: int, tiles: slice, until: int) -> None:
        """Bring some tiles of a block, all equally far, to step `until`: the end, or the end of a chunk."""
        problem, here = descent.problem, (block, tiles)
        step = int(self.steps_done[here][0])
        looks = np.array(descent.checkpoints)
        while step < until:
            index, first = step // descent.chunk, step % descent.chunk
            noise = descent.noise_chunk(block, index)
            end = min((index + 1) * descent.chunk, until)
            for stop in (*looks[(looks > step) & (looks < end)].tolist(), end):
                kernel.compiled_advance()(
                    problem.compiled_gradient,
                    problem.parameters,
                    problem.gradient_scale,
                    descent.noise == "multiplicative",
                    descent.epsilon,
                    noise[first : first + stop - step],
                    self.theta[here],
                    self.v[here],
                    self.work[here],
                )
                first, step = first + stop - step, stop
                for look in np.flatnonzero(looks == step):
                    self._look(descent, here, step, self.curves[look, :, block, tiles])
        self.steps_done[here] = until

    def _look(self, descent: Descent, here: tuple[int, slice], step: int, curves: Array) -> None:
        rows = self.work[here]
        for k, (total, lost) in enumerate(zip(kernel.SUMS, kernel.LOST, strict=True)):
            curves[k] = (rows[:, total : total + LANES] + rows[:, lost : lost + LANES]) / step
        curves[3] = rows[:, kernel.SMALLEST_SQUARE : kernel.SMALLEST_SQUARE + LANES]
        curves[4] = descent.problem.value(np.moveaxis(self.theta[here], 1, 0))
        curves[5] = rows[:, kernel.LARGEST_GRADIENT : kernel.LARGEST_GRADIENT + LANES]

    def by_name(self, descent: Descent) -> dict[str, Array]:
        """Return the curves, each (noise levels, powers, learning rates, seeds, checkpoints)."""
        looks, arms = len(descent.checkpoints), len(descent.arms)
        split = self.curves.reshape(looks, len(QUANTITIES), descent.blocks, -1, RUNS)[:, :, :, :arms]
        ordered = split.transpose(1, 3, 2, 4, 0).reshape(len(QUANTITIES), *descent.shape, -1, looks)
        return dict(zip(QUANTITIES, ordered[..., : descent.seeds, :], strict=True))


def new_state(descent: Descent) -> AdagradState:
    """Return the state before the first step."""
    arms = np.array(list(descent.arms.values()))
    tiles = -(-len(arms) // ARMS)
    theta = np.empty((descent.blocks, tiles, descent.problem.dimension, LANES))
    theta[:] = descent.problem.start[:, None]
    work = np.zeros((descent.blocks, tiles, ROWS * LANES))
    rows = (kernel.NOISE_TO_SIGNAL, kernel.POWER, kernel.LEARNING_RATE)
    for row, values in zip(rows, arms.T, strict=True):
        filled = np.pad(values, (0, tiles * ARMS - values.size), mode="edge")
        work[..., row : row + LANES] = filled.repeat(RUNS).reshape(tiles, LANES)
    work[..., kernel.SMALLEST_SQUARE : kernel.SMALLEST_SQUARE + LANES] = np.inf
    curves = np.full((len(descent.checkpoints), len(QUANTITIES), descent.blocks, tiles, LANES), np.nan)
    return AdagradState(
        np.zeros((descent.blocks, tiles), np.int64), theta, np.zeros_like(theta), work, curves
    )


def save_state(state: AdagradState, descent: Descent, path: Path) -> None:
    """Write the state to `path`, whole or not at all."""
    content = io.BytesIO()
    np.savez(content, digest=np.array(descent.digest()), **vars(state))
    write_file(path, content.getvalue())


def load_state(descent: Descent, path: Path) -> AdagradState:
    """Return the state in `path`, or the one before the first step if there is no such file.

    A file that cannot be read, or belongs to another simulation, is an InputError.
    """
    if not path.exists():
        return new_state(descent)
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            digest = str(file["digest"])
            arrays = {field.name: file[field.name] for field in fields(AdagradState)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise InputError("state", path, "a whole state file (remove this one to start afresh)") from None
    require(digest == descent.digest(), "state", path, "the state of this very simulation, or no file")
    return AdagradState(**arrays)

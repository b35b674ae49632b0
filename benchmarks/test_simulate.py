"""The fast path against the obvious NumPy loop, per trial, step and power, in one run on this machine."""

from __future__ import annotations

import os
import time

import numpy as np

from simulate import simulate_adam
from simulate.adam.reference import adam_averages
from theory.laws import parse_law

MEAN, RATIOS = 1e-6, np.array([0.0, 0.1, 1.0, 2.0, 10.0, 50.0, 100.0])
POWERS = np.linspace(0.05, 4.0, 200)
TARGET = 40  # on two cores; the NumPy loop runs on one


def numpy_nanoseconds() -> float:
    """Best of a few runs with 2048 trials and 16 powers: arrays of 256 KiB, where NumPy is at its best."""
    trials, powers, steps = 2048, 16, 30
    noise = parse_law("uniform").sample(np.random.default_rng(0), (steps, trials))
    gradients = list(MEAN + 10 * MEAN * noise)
    grid = np.linspace(0.05, 4.0, powers)[:, None]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        adam_averages(gradients, grid, 0.9, 0.95)
        times.append(time.perf_counter() - start)
    return min(times) / (trials * powers * steps) * 1e9


def test_fast_path_against_the_numpy_loop(benchmark, capsys):
    law, trials = parse_law("uniform"), 1024
    run = benchmark.pedantic(
        simulate_adam,
        args=(POWERS, MEAN, MEAN * RATIOS, law),
        kwargs={"trials": trials},
        rounds=20,
        warmup_rounds=1,
    )
    work = trials * run.steps * POWERS.size * RATIOS.size
    fast, slow = benchmark.stats.stats.min / work * 1e9, numpy_nanoseconds()
    cores = os.cpu_count() or 1
    benchmark.extra_info |= {"fast_ns": fast, "numpy_ns": slow, "ratio": slow / fast, "cores": cores}
    with capsys.disabled():
        print(f"\nsimulate adam: {fast:.3f} ns per trial, step and power on {cores} cores; ", end="")
        print(f"NumPy loop: {slow:.2f} ns; {slow / fast:.0f} times faster (target {TARGET} on 2 cores)")
    assert slow / fast >= TARGET * min(cores, 2) / 2

"""The exact Figure 7 (7 ratios, 200 powers), and the whole reproduction."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

from figures.adam.example import Setting
from theory import exact_update, parse_law

FIGURE_7_TARGET, REPRODUCTION_TARGET = 3.0, 60.0  # seconds on two cores


def test_exact_figure_7(benchmark, capsys):
    ratios = np.array(Setting().noise_to_signal)[:, None]
    law, powers = parse_law("uniform"), np.linspace(0.05, 3.0, 200)
    benchmark.pedantic(exact_update, args=(powers, 1e-6, 1e-6 * ratios, law), rounds=3, warmup_rounds=0)
    seconds = benchmark.stats.stats.min
    with capsys.disabled():
        print(
            f"\nexact Figure 7, 7 × 200: {seconds:.2f} s on {os.cpu_count()} cores (target {FIGURE_7_TARGET:g} s)"
        )
    assert seconds <= FIGURE_7_TARGET


def test_reproduction(benchmark, capsys, tmp_path):
    def reproduce():
        start = time.perf_counter()
        command = [sys.executable, "-m", "gradpower", "reproduce", "--output", str(tmp_path)]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start

    seconds = benchmark.pedantic(reproduce, rounds=1)
    with capsys.disabled():
        print(
            f"\ngradpower reproduce: {seconds:.1f} s on {os.cpu_count()} cores (target {REPRODUCTION_TARGET:g} s)"
        )
    assert seconds <= REPRODUCTION_TARGET

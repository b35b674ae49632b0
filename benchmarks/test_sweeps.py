"""Arms an hour: a fresh process for each arm, one process for all, and two processes at once, by turns in one run.

`make bench` on an idle machine; the ratios are what counts. A fresh process imports torch and transformers and builds
its first model anew for each arm; what that costs against an arm depends on how long the arm is. Every process has one
CPU thread: what more threads bring against more workers is measured by `gradpower sweep --workers auto`.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.fields import to_dict, with_fields
from experiments.recipes import recipe
from experiments.sweeps.processes import Process
from experiments.sweeps.rule import Rule
from experiments.sweeps.study import Arm, Study
from experiments.sweeps.worker import Plan, work

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
STEPS = {"cpu": 20, "cuda": 400}[DEVICE]
# What noise of the machine may take from a ratio; below it something is wrong.
FLOOR = 0.8


def bench_study() -> Study:
    small = {
        "data.megabytes": 2.0,
        "data.validation_sequences": 32,
        "data.epochs": 10.0,
        "training.steps": STEPS,
        "training.evaluate_every": STEPS,
        "optimizer.warmup_steps": 10,
    }
    axes = [{"optimizer.power": (1.0, 1.2)}]
    return Study(
        "bench", with_fields(recipe("pocket"), small), axes, Rule("optimizer.power", 1.0), seeds=(0, 1)
    )


def plan_of(arm: Arm, folder: Path, cache: Path) -> dict[str, Any]:
    execution = {"device": DEVICE, "threads": 1, "cache": str(cache)}
    arms = {arm.fingerprint: to_dict(arm.recipe)}
    return asdict(Plan(str(folder), arms, execution, retries=0, sweep="bench", parent=os.getpid()))


def seconds_of(plans: Sequence[dict[str, Any]], processes: Sequence[Process]) -> float:
    """Return how long the processes take for an arm each, at once."""
    begun = time.perf_counter()
    for call in [process.call(work, plan, 0) for process, plan in zip(processes, plans, strict=True)]:
        assert len(call.result()["trained"]) == 1
    return time.perf_counter() - begun


@pytest.mark.filterwarnings("default")
def test_arms_an_hour(benchmark, capsys, tmp_path):
    study, cache = bench_study(), tmp_path / "cache"
    kept = [Process(), Process()]
    for index, process in enumerate(kept):  # the first one tokenizes the text
        seconds_of([plan_of(study.arms()[0], tmp_path / f"warm-{index}", cache)], [process])

    def measure() -> dict[str, list[float]]:
        seconds: dict[str, list[float]] = {}
        for arm in study.arms():
            plans = [plan_of(arm, tmp_path / name, cache) for name in ("fresh", "reused", "first", "second")]
            fresh = Process()
            seconds.setdefault("fresh process per arm", []).append(seconds_of(plans[:1], [fresh]))
            fresh.close()
            seconds.setdefault("one reused process", []).append(seconds_of(plans[1:2], kept[:1]))
            seconds.setdefault("two reused processes", []).append(seconds_of(plans[2:], kept) / 2)
        return seconds

    seconds = benchmark.pedantic(measure, rounds=1)
    for process in kept:
        process.close()
    base = seconds["fresh process per arm"]
    with capsys.disabled():
        print(f"\npocket, {STEPS} steps an arm, {DEVICE}:")
        for name, each in seconds.items():
            ratios = [a / b for a, b in zip(base, each, strict=True)]
            gain = statistics.median(ratios)
            benchmark.extra_info[name] = gain
            hourly, spread = 3600 / statistics.median(each), f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"  {name}: {hourly:.0f} arms/hour, {gain:.2f} of fresh processes ({spread})")
    assert benchmark.extra_info["one reused process"] > FLOOR

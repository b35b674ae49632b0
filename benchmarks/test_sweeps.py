"""Arms an hour: a fresh process for each arm, one process for all, and two processes at once, in one run.

`make bench` on an idle machine; the ratios are what counts. A fresh process imports torch and transformers and builds
its first model anew for each arm; what that costs against an arm depends on how long the arm is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from experiments.fields import to_dict, with_fields
from experiments.recipes import recipe
from experiments.sweeps.arms import arm_folder
from experiments.sweeps.concurrency import threads_of
from experiments.sweeps.processes import keep_working
from experiments.sweeps.rule import Rule
from experiments.sweeps.study import Study
from experiments.sweeps.worker import Plan

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
STEPS = {"cpu": 30, "cuda": 400}[DEVICE]
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


def plan_of(study: Study, folder: Path, cache: Path, workers: int) -> Plan:
    execution = {"device": DEVICE, "threads": threads_of(workers, {}), "cache": str(cache)}
    arms = {arm.fingerprint: to_dict(arm.recipe) for arm in study.arms()}
    return Plan(str(folder), arms, execution, retries=0, sweep="bench", parent=os.getpid())


def fresh_processes(plan: Plan) -> None:
    for name, made in plan.arms.items():
        keep_working(asdict(plan) | {"arms": {name: made}}, 0)


def reused_process(plan: Plan) -> None:
    keep_working(asdict(plan), 0)


def two_workers(plan: Plan) -> None:
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda index: keep_working(asdict(plan), index), range(2)))


WAYS: dict[str, tuple[Callable[[Plan], None], int]] = {
    "fresh process per arm": (fresh_processes, 1),
    "one reused process": (reused_process, 1),
    "two workers": (two_workers, 2),
}


@pytest.mark.filterwarnings("default")
def test_arms_an_hour(benchmark, capsys, tmp_path):
    study, cache = bench_study(), tmp_path / "cache"
    first = study.arms()[0]
    warm = Plan(
        str(tmp_path / "warm"), {first.fingerprint: to_dict(first.recipe)}, {"cache": str(cache)}, 0, "warm"
    )
    keep_working(asdict(warm), 0)  # tokenizes the text

    def measure() -> dict[str, float]:
        hourly = {}
        for name, (way, workers) in WAYS.items():
            folder = tmp_path / name.replace(" ", "-")
            begun = time.perf_counter()
            way(plan_of(study, folder, cache, workers))
            hourly[name] = 3600 * len(study.arms()) / (time.perf_counter() - begun)
            done = [arm_folder(folder, arm.fingerprint) / "result.json" for arm in study.arms()]
            assert all(path.exists() for path in done)
        return hourly

    hourly = benchmark.pedantic(measure, rounds=1)
    base = hourly["fresh process per arm"]
    with capsys.disabled():
        print(f"\npocket, {STEPS} steps an arm, {len(study.arms())} arms, {DEVICE}:")
        for name, value in hourly.items():
            print(f"  {name}: {value:.0f} arms/hour, {value / base:.2f} of fresh processes")
    benchmark.extra_info.update(hourly)
    assert hourly["one reused process"] > FLOOR * base

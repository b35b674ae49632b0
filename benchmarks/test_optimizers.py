"""AdamWPower's step against torch's AdamW with the same implementation flag, alternately in one run."""

from __future__ import annotations

import pytest
import torch

from experiments.step_time import IMPLEMENTATIONS, SIZES, step_times
from figures.step_time_report import TARGETS

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Ratios that an idle machine of two cores stays below by about a third; on a GPU nothing was measured yet.
CEILINGS = {"for-loop": 4.0, "foreach": 4.0, "fused": 3.0}


@pytest.mark.parametrize("size", list(SIZES))
def test_step_of_adamw_power(benchmark, capsys, size):
    def measure():
        return step_times(
            [size], device=DEVICE, power=1.2, rounds=15, seed=0, progress=lambda done, total: None
        )

    rows = benchmark.pedantic(measure, rounds=1)
    assert [row["implementation"] for row in rows] == list(IMPLEMENTATIONS)
    with capsys.disabled():
        print(f"\nAdamWPower over AdamW, {rows[0]['parameters'] / 1e6:.1f}M parameters, {DEVICE}:")
        for row in rows:
            target = f" (target {TARGETS[DEVICE]:g})" if row["implementation"] == "fused" else ""
            print(
                f"  {row['implementation']}: {row['ratio']:.2f} ± {row['ratio_margin']:.2f}{target}; "
                f"{row['powered_gb_per_second']:.1f} GB/s of the least bytes, AdamW {row['base_gb_per_second']:.1f}, "
                f"a copy {row['copy_gb_per_second']:.1f}"
            )
    for row in rows:
        benchmark.extra_info[row["implementation"]] = row["ratio"]
        assert row["ratio"] <= CEILINGS[row["implementation"]]

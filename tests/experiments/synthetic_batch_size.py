"""Made-up results of every part of the study of batch size and power, whose best powers and effects are known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.sweeps.batch_size import BATCH, PARTS, batch_size_study, scales
from experiments.sweeps.results import SUMMARY_SCHEMA, ArmResult
from experiments.sweeps.study import Study

CURVATURE, RATES = 0.2, 0.05
Best = Callable[[int], float]


def falling(batch: int) -> float:
    """1.2 at batch 2, 0.86 at 32."""
    return float(1.2 * (batch / 2) ** -0.12)


def shrinking(power: float) -> float:
    """RMS of the update, over that at p = 1."""
    return float(power**-0.3)


def synthetic_part(part: str, best: Best = falling, *, noise: float = 1e-4, seed: int = 0) -> list[ArmResult]:
    """Return the results of a part at the pocket scale.

    The loss is 3.3 + 0.2·ln²(p/best(B)) + 0.05·ln²(rate·shrinking(p)/tuned rate) and a shift of the seed. With β2 by
    half-life the best power is 1 at every batch size; clipping after the power adds 0.01 to p = 1.2.
    """
    rng, scale = np.random.default_rng(seed), scales()["pocket"]
    shifts: dict[tuple[int, int], float] = {}
    results = []
    for arm in batch_size_study("pocket", part).arms():
        batch, rate = arm.values[BATCH], arm.recipe.optimizer.learning_rate
        p = arm.recipe.optimizer.power
        tuned = scale.rates[scale.batches.index(batch)]
        shift = shifts.setdefault((arm.seed, batch), 0.02 * rng.normal())
        top = 1.0 if part == "half-life" else best(batch)
        loss = 3.3 + CURVATURE * math.log(p / top) ** 2 + shift + noise * rng.normal()
        loss += RATES * math.log(rate * shrinking(p) / tuned) ** 2
        loss += 0.01 * (part == "clip" and p == 1.2)
        rows = [
            {
                "tokens": arm.recipe.tokens * k / 10,
                "validation_loss": loss + 0.3 * (10 - k),
                "update_rms": 0.4 * shrinking(p),
            }
            for k in range(1, 11)
        ]
        results.append(ArmResult(arm.values, arm.seed, "completed", loss, 0.03, arm.fingerprint, 1e4, rows))
    return results


def write_parts(folder: Path, best: Best = falling, parts: Any = PARTS, **more: Any) -> Path:
    """Write the summaries of parts into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        text = json.dumps(summary(batch_size_study("pocket", part), synthetic_part(part, best, **more)))
        (folder / f"{part}.json").write_text(text)
    return folder


def summary(study: Study, results: list[ArmResult]) -> dict[str, Any]:
    """Return the content of a summary.json."""
    return {
        "schema": SUMMARY_SCHEMA._asdict(),
        "study": asdict(study),
        "history": [],
        "provenance": {},
        "origins": [],
        "arms": [vars(result) for result in results],
    }


def synthetic_noise(predicted: Callable[[int], float]) -> dict[str, Any]:
    """Return the content of a noise_along.json whose uniform law predicts `predicted`, and the fitted one 0.5."""
    from experiments.noise.along_study import SCHEMA

    batches = scales()["pocket"].batches
    rows = []
    for batch in batches:
        for share in (0.01, 1.0):
            predictions = [
                {
                    "batch_size": size,
                    "law": law,
                    "objective": objective,
                    "power": power + 0.1 * (share - 0.505),
                    "low": power - 0.1,
                    "high": power + 0.1,
                    "at_edge": None,
                    "resolved": True,
                    "reason": None,
                }
                for size in batches
                for law, power in (
                    ("uniform", predicted(size)),
                    ("generalized-normal", 0.5),
                    ("generalized-normal, same shape", 0.6 - 0.1 * math.log(size)),
                )
                for objective in ("equal learning rate", "equal RMS")
            ]
            rows.append(
                {
                    "trained_at": batch,
                    "seed": 0,
                    "step": 5,
                    "share": share,
                    "loss": {"mean": 4.0, "standard_error": 0.01},
                    "noise_scale": {
                        "trace": {"simple": 32.0, "interval": [30.0, 34.0]},
                        "norms": {"sizes": [2, 8]},
                    },
                    "batch_sizes": [
                        {"batch_size": size, "modules": [{"module": "mlp", "shape": 1 + size / 32}]}
                        for size in batches
                    ],
                    "modules": [
                        {
                            "module": "mlp",
                            "noise_to_signal": 10.0 * share,
                            "shape": {"shape": 1.0},
                            "second_size": {
                                "ratio": 1.0 + 0.1 * share,
                                "standard_error": 0.02,
                                "shape": 1.5,
                                "expected_shape": 1.6,
                            },
                        },
                        {
                            "module": "unresolved",
                            "noise_to_signal": None,
                            "shape": {"shape": None},
                            "second_size": {"ratio": 1.0, "standard_error": 0.1, "shape": None},
                        },
                    ],
                    "predictions": predictions,
                }
            )
    return {
        "schema": SCHEMA,
        "study": "batch-size-pocket",
        "fingerprint": "0",
        "provenance": {},
        "measurements": rows,
    }

"""Small texts for the tests, a recipe of seconds on them, and when to pause it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from experiments.recipes.fields import with_fields
from experiments.recipes.named import recipe
from experiments.recipes.settings import Recipe
from experiments.training.records import read_metrics


def write_text(folder: Path, *, documents: int = 400, seed: int = 0) -> Path:
    """Write documents of random words, some frequent and some rare, and return the file."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), size=rng.integers(2, 8))) for _ in range(300)]
    shares = 1 / np.arange(1, 301)
    texts = [
        " ".join(rng.choice(words, size=rng.integers(60, 120), p=shares / shares.sum()))
        for _ in range(documents)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "text.txt"
    path.write_text("\n\n".join(texts), encoding="utf-8")
    return path


def small_recipe(text: Path, name: str = "pocket", **fields: Any) -> Recipe:
    """Return a recipe on this text; fields with __ for the dot."""
    small = {
        "model.width": 16,
        "model.hidden": 32,
        "model.heads": 2,
        "model.layers": 1,
        "model.vocabulary": 300,
        "data.source": f"text:{text}",
        "data.tokenizer": "bpe:300",
        "data.sequence_length": 32,
        "data.validation_share": 0.1,
        "data.validation_sequences": 12,
        "optimizer.learning_rate": 6e-3,
        "optimizer.warmup_steps": 4,
        "training.steps": 24,
        "training.batch_size": 8,
        "training.evaluate_every": 8,
    }
    return with_fields(recipe(name), small | {key.replace("__", "."): value for key, value in fields.items()})


def untimed(folder: Path) -> list[dict[str, Any]]:
    """All lines of a run's metrics, without what depends on the time it took."""
    times = ("tokens_per_second", "mfu")
    return [{k: v for k, v in row.items() if k not in times} for row in read_metrics(folder)]


def after(steps: int) -> Callable[[], bool]:
    """What `train` asks whether to stop: yes after so many steps of this call."""
    calls = count()
    return lambda: next(calls) == steps

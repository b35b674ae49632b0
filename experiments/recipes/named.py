"""The recipes: functions that return a whole `Recipe`. The paper's nine, a family for a GPU's minutes, and `pocket`.

The paper's rows are those of Section 5 and its tables of models. Steps follow from about 20 tokens a parameter.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from experiments.recipes.fields import FIELDS, get_field
from experiments.recipes.optimizer_settings import OptimizerSettings
from experiments.recipes.settings import DataSettings, ModelSettings, Recipe, TrainingSettings
from gradpower.tools.errors import nearest, require

TOKENS_PER_PARAMETER = 20
# About a million tokens of validation: differences of 0.02 are to be seen.
C4 = DataSettings(source="c4", tokenizer="t5", sequence_length=256, packed=False, validation_sequences=4096)
OPENWEBTEXT = DataSettings(
    source="openwebtext", tokenizer="gpt2", sequence_length=1024, validation_sequences=1024
)
# (d_model, d_ff, heads, layers), parameters in the paper, learning rate.
PAPER_LLAMA = {
    "66m": ((512, 2048, 8, 8), 66e6, 1e-3),
    "0.2b": ((768, 3072, 8, 16), 200e6, 1e-3),
    "0.25b": ((768, 3072, 16, 8), 237e6, 8e-4),
    "0.4b": ((1280, 5120, 16, 12), 400e6, 6e-4),
    "1b": ((1600, 6400, 25, 22), 1004e6, 3e-4),
    "2b": ((2048, 8096, 32, 28), 1994e6, 2e-4),
}
# The same with the number of experts.
PAPER_MOE = {
    "0.5b": ((768, 3072, 12, 12), 16, 502e6, 6e-4),
    "1b": ((768, 3072, 12, 15), 32, 1040e6, 3e-4),
    "2b": ((1024, 4096, 16, 16), 32, 1945e6, 2e-4),
}


def _model(shape: tuple[int, int, int, int], vocabulary: int, experts: int = 0) -> ModelSettings:
    return ModelSettings("qwen2-moe" if experts else "llama", *shape, vocabulary, experts)


def paper_llama(size: str) -> Recipe:
    """LLaMA of the paper on C4 (0.25b: OpenWebText), batch 512 (480), bfloat16.

    The paper's row of 0.2b prints heads and depth the other way round: 16 heads and 8 layers would be 125M, not 200M.
    No reading of the row of 0.25b gives its 237M parameters: it is built as printed.

    >>> paper_llama("66m").training.steps
    10071
    """
    shape, parameters, rate = PAPER_LLAMA[size]
    if size == "0.25b":
        return _paper(f"llama-{size}", _model(shape, 50304), rate, steps=50_000, data=OPENWEBTEXT, batch=480)
    return _paper(f"llama-{size}", _model(shape, 32100), rate, steps=_steps(parameters))


def paper_moe(size: str) -> Recipe:
    """Qwen2-MoE of the paper on C4: experts of width d_ff/4, top 4, one shared expert of width d_ff."""
    shape, experts, parameters, rate = PAPER_MOE[size]
    return _paper(f"qwen2-moe-{size}", _model(shape, 32100, experts), rate, steps=_steps(parameters))


def _steps(parameters: float) -> int:
    return math.ceil(TOKENS_PER_PARAMETER * parameters / (512 * C4.sequence_length))


def _paper(
    name: str, model: ModelSettings, rate: float, *, steps: int, data: DataSettings = C4, batch: int = 512
) -> Recipe:
    optimizer = OptimizerSettings(learning_rate=rate)
    return Recipe(name, model, data, optimizer, TrainingSettings(steps, batch, precision="bfloat16"))


# (d_model, d_ff, heads, layers), vocabulary, experts, steps, learning rate.
GPU = {
    "4m": ((192, 768, 6, 4), 4096, 0, 2000, 3e-3),
    "10m": ((320, 1280, 5, 5), 4096, 0, 3000, 2e-3),
    "30m": ((512, 2048, 8, 6), 8192, 0, 5000, 1.5e-3),
    "4m-moe": ((128, 512, 4, 4), 4096, 8, 2000, 3e-3),
    "10m-moe": ((192, 768, 6, 4), 4096, 8, 3000, 2e-3),
    "30m-moe": ((320, 1280, 5, 5), 4096, 8, 5000, 1.5e-3),
}


def gpu(size: str) -> Recipe:
    """Models of about 4M, 10M and 30M parameters, dense and mixture, for runs of minutes on one GPU."""
    shape, vocabulary, experts, steps, rate = GPU[size]
    return Recipe(
        f"gpu-{size}",
        _model(shape, vocabulary, experts),
        DataSettings(tokenizer=f"bpe:{vocabulary}", megabytes=120.0, epochs=4.0, validation_sequences=512),
        OptimizerSettings(learning_rate=rate, warmup_steps=steps // 20),
        TrainingSettings(steps=steps, batch_size=64, precision="bfloat16"),
    )


def pocket() -> Recipe:
    """A LLaMA small enough to reach a useful loss on two CPU cores in about two minutes.

    Its learning rate and that of `pocket_small` were tuned at p = 1: results/rates.
    """
    return Recipe(
        "pocket",
        _model((64, 256, 4, 3), 1024),
        DataSettings(tokenizer="bpe:1024", sequence_length=128, megabytes=16.0, validation_share=0.05),
        OptimizerSettings(learning_rate=2.1e-3, warmup_steps=60),
        TrainingSettings(steps=800, batch_size=16),
    )


def pocket_small() -> Recipe:
    """A LLaMA of 0.12M parameters, for studies of hundreds of runs: 17 tokens a parameter take a core two minutes.

    >>> pocket_small().tokens
    2048000
    """
    made = pocket()
    return replace(
        made,
        name="pocket-small",
        model=_model((48, 192, 4, 2), 512),
        data=replace(made.data, tokenizer="bpe:512", validation_sequences=512),
        optimizer=replace(made.optimizer, learning_rate=6e-3, warmup_steps=100),
        training=TrainingSettings(steps=2000, batch_size=8),
    )


def pocket_moe() -> Recipe:
    """A Qwen2-MoE as small as `pocket`."""
    dense = pocket()
    return replace(dense, name="pocket-moe", model=_model((64, 128, 4, 3), 1024, experts=8))


RECIPES: dict[str, Callable[[], Recipe]] = {
    "pocket": pocket,
    "pocket-moe": pocket_moe,
    "pocket-small": pocket_small,
    **{f"gpu-{size}": partial(gpu, size) for size in GPU},
    **{f"llama-{size}": partial(paper_llama, size) for size in PAPER_LLAMA},
    **{f"qwen2-moe-{size}": partial(paper_moe, size) for size in PAPER_MOE},
}


def command_of(made: Recipe) -> str:
    """Return the command line that trains by this recipe.

    >>> from experiments.recipes.fields import with_fields
    >>> command_of(with_fields(pocket(), {"optimizer.power": 1.2, "data.packed": False}))
    'gradpower train pocket --data.no-packed --optimizer.power 1.2'
    """
    name = made.name if made.name in RECIPES else "pocket"
    before = RECIPES[name]()
    values = {field: get_field(made, field) for field in FIELDS}
    flags = [_flag(field, value) for field, value in values.items() if value != get_field(before, field)]
    flags += [] if name == made.name else [f"--name {made.name}"]
    return " ".join([f"gradpower train {name}", *flags])


def _flag(field: str, value: object) -> str:
    section, _, name = field.replace("_", "-").partition(".")
    if isinstance(value, bool):
        return f"--{section}.{name if value else f'no-{name}'}"
    return f"--{section}.{name} {shlex.quote(str(value))}"


def recipe(name: str) -> Recipe:
    """Return a recipe by its name; InputError if there is none, with the nearest.

    >>> recipe("llama-66m").name
    'llama-66m'
    >>> recipe("pocketmoe")
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: recipe: pocketmoe is not allowed; expected one of ... (did you mean pocket-moe?)
    """
    require(name in RECIPES, "recipe", name, f"one of {', '.join(RECIPES)}{nearest(name, RECIPES)}")
    return RECIPES[name]()

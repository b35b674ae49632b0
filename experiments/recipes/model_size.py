"""How many parameters a model has, and what a token costs, in closed form: no torch is needed."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.recipes.settings import ModelSettings


@dataclass(frozen=True)
class Size:
    """Parameters of a model.

    `active` are those that one token uses, all but the experts it is not routed to; those of the `embedding` multiply
    nothing.
    """

    total: int
    active: int
    embedding: int


def model_size(settings: ModelSettings) -> Size:
    """Count the parameters.

    With d = d_model, h = d_ff, L layers, V rows of the vocabulary and E experts:

        llama:      2·V·d + d + L·(4d² + 2d + 3d·h)
        qwen2-moe:  2·V·d + d + L·(4d² + 6d + 3d·h + E·d + E·3d·h/4),

    for embedding and untied head, norms, attention (with biases of Q, K, V in the mixture), feed-forward or shared
    expert with its gate, router, and experts.

    >>> model_size(ModelSettings()).total
    66433536
    """
    d, h, vocabulary = settings.width, settings.hidden, settings.vocabulary * settings.width
    layer = 4 * d * d + 3 * d * h + 2 * d
    idle = 0
    if settings.family == "qwen2-moe":
        expert = 3 * d * (h // 4)
        layer += 3 * d + d + settings.experts * (d + expert)
        idle = (settings.experts - settings.experts_per_token) * expert * settings.layers
    total = 2 * vocabulary + d + settings.layers * layer
    return Size(total, total - idle, vocabulary)


def least_bytes(settings: ModelSettings, tokens: int, ranks: int = 1) -> int:
    """Memory in bytes that a step with so many tokens at a time takes at the least on each rank that shares the model.

    Weights, gradients and one moment, as Muon keeps it, take 12 bytes a parameter, logits and their gradient 8 bytes a
    token and row of the vocabulary; Adam's other moment and other activations are left out.

    >>> least_bytes(ModelSettings(), 32 * 256)
    2900908032
    """
    return 12 * model_size(settings).total // ranks + 8 * tokens * settings.vocabulary


def training_flops(settings: ModelSettings, length: int) -> float:
    """Floating-point operations that training spends on a token: 6·N + 6·layers·length·d_model.

    N are the active parameters without the embedding; forward and backward take 2 and 4 operations a parameter.
    Causal attention multiplies, in each layer, with keys and with values of half the sequence on average:
    2·2·d·length/2 forward and twice that backward.

    >>> f"{training_flops(ModelSettings(), 256):.3g}"
    '3.06e+08'
    """
    size = model_size(settings)
    return 6.0 * (size.active - size.embedding) + 6.0 * settings.layers * length * settings.width

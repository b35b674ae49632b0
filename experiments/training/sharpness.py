"""How sharp the loss is as the optimizer sees it: the largest curvature of a batch, in units of Adam's steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer

from experiments.corpora import IGNORED, Batch
from experiments.training.losses import batch_loss

ITERATIONS = 20


def preconditioned_sharpness(
    model: nn.Module, batch: Batch, optimizer: Optimizer, iterations: int = ITERATIONS
) -> float | None:
    """Return the curvature of largest size as Adam's steps see it; None without Adam's second moment.

    It is the eigenvalue of largest modulus of D^{-1/2}·H·D^{-1/2}, by power iteration: the quotient after `iterations`
    of them, at most as large, and below 0 if that curvature is. H is the Hessian of the batch's mean loss, D =
    v̂^{1/(2p)}/p + ε: a small change δ of a gradient of size v̂^{1/(2p)} changes φ_p(g)/√v̂ by about δ/D. Adam with β1
    is stable on a quadratic while η·λ is below 2(1 + β1)/(1 − β1).

    Embeddings are left out, and a head that shares its weights with one. The v̂ of a token's row decays to 0 until the
    token comes again; the gradient that comes then enters v̂ before the step is divided by it, which a fixed D does
    not know.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    parameters, roots = [], []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if "exp_avg_sq" not in state:
                return None
            if id(parameter) in embeddings:
                continue
            second = state["exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))
            power = float(group.get("power", 1.0))
            scale = second ** (0.5 / power) / power + group["eps"]
            parameters.append(parameter)
            roots.append(scale.rsqrt())
    generator = torch.Generator().manual_seed(0)  # leaves the run's own numbers as they are
    direction = [torch.randn(p.shape, generator=generator).to(p) for p in parameters]
    # The fused kernels have no second derivative.
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        loss = batch_loss(model, batch).losses.sum() / (batch.targets != IGNORED).sum()
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        largest = 0.0
        for _ in range(iterations):
            norm = float(torch.sqrt(sum((d.square().sum() for d in direction), torch.zeros(()))))
            scaled = [r * d / norm for r, d in zip(roots, direction, strict=True)]
            products = torch.autograd.grad(gradients, parameters, scaled, retain_graph=True)
            largest = float(sum((_dot(a, b) for a, b in zip(scaled, products, strict=True)), torch.zeros(())))
            direction = [r * product for r, product in zip(roots, products, strict=True)]
    return largest


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum().cpu()

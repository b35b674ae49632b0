"""The sign-power transform φ_p(g) = sign(g)·|g|^p, for one tensor and for lists of them (Section 3 of the paper)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from gradpower.inputs import check_power, real, refusal

F = TypeVar("F", float, Tensor, float | Tensor)
OFFSET = "a finite number >= 0"
# Reduced precision is computed in float32 this many entries at a time, so that no copy of a whole tensor is made.
BLOCK = 1 << 22


def sign_power(g: Tensor, power: float | Tensor, *, offset: float = 0.0) -> Tensor:
    """Return φ_p(g) = sign(g)·|g|^p, elementwise.

    Parameters
    ----------
    g : Tensor
        Gradients of any shape and floating or complex dtype, on any device.
    power : float or Tensor
        The power p > 0; a 0-dimensional tensor lets p change without a new compilation or a synchronisation.
    offset : float
        δ >= 0 of the variant sign(g)·(|g| + δ)^p; the authors' training code has δ = 1e-8.

    Returns
    -------
    Tensor
        Same shape, dtype, device and layout. At p = 1 and δ = 0 the map is the identity and `g` itself is
        returned, the same object; otherwise a new tensor.

    Raises
    ------
    TypeError
        If `g` is no tensor of floats or complex numbers, or `power` no number.
    ValueError
        If `power` is not finite and positive, `offset` negative, or `g` a DTensor with a Partial placement
        (the power of a sum is not the sum of powers) or a sparse tensor that is not in COO layout.

    Notes
    -----
    0 → 0 (with its sign), ±inf → ±inf, NaN → NaN, at every p. bfloat16 and float16 are computed in float32 and
    rounded once; float64 stays float64. Complex entries keep their phase, φ_p(g) = g·|g|^(p−1), and infinite
    ones pass through. Sparse COO tensors are coalesced first, as the power of a sum is meant. DTensor shards are
    mapped where they lie. The map is differentiable in `g`: the derivative is p·|g|^(p−1), and 0 where g = 0.

    Examples
    --------
    >>> sign_power(torch.tensor([-4.0, 0.0, 0.25]), 0.5)
    tensor([-2.0000,  0.0000,  0.5000])
    >>> g = torch.ones(3)
    >>> sign_power(g, 1.0) is g
    True
    """
    return checked_transform(power, offset)(g)


def foreach_sign_power(
    tensors: Sequence[Tensor], power: float | Tensor, *, offset: float = 0.0
) -> list[Tensor]:
    """Return [φ_p(g) for g in tensors] with few kernel launches.

    Parameters
    ----------
    tensors : sequence of Tensor
        Gradients as `sign_power` takes them; they may differ in shape, dtype and device.
    power, offset : float
        As in `sign_power`.

    Returns
    -------
    list of Tensor
        At p = 1 and offset 0 the tensors themselves.

    Raises
    ------
    TypeError, ValueError
        As `sign_power`.

    Examples
    --------
    >>> foreach_sign_power([torch.tensor([-3.0]), torch.tensor([[2.0]])], 2.0)
    [tensor([-9.]), tensor([[4.]])]
    """
    return checked_transform(power, offset).foreach(tensors)


def checked_transform(power: object, offset: object) -> SignPower:
    """Return φ_p for arguments that a user gave."""
    return SignPower(check_power(power), real("offset", offset, OFFSET, low=0))


def is_dtensor(g: Tensor) -> bool:
    """Return whether `g` is a DTensor, without importing torch.distributed.tensor for those who have none."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(g, module.DTensor)


def refuse_shards(argument: str, tensors: Iterable[Tensor]) -> None:
    """Raise ValueError if there are DTensors among the tensors, of which a process sees its own shard only."""
    if any(map(is_dtensor, tensors)):
        raise refusal(
            argument, "DTensors", "plain tensors (each process would measure its own shard)", ValueError
        )


def is_plain(g: Tensor) -> bool:
    """Return whether `g` is a dense real tensor of no subclass."""
    return g.layout == torch.strided and not g.is_complex() and type(g) in (Tensor, torch.nn.Parameter)


@dataclass(frozen=True)
class SignPower:
    """The map g → after·φ_p(before·g) for checked arguments; the factors are those of a clipping."""

    power: float | Tensor
    offset: float = 0.0
    before: Tensor | None = None
    after: Tensor | None = None

    @property
    def is_identity(self) -> bool:
        """Whether this is known to be the identity; a tensor on a device is not asked, as that would wait."""
        if self.offset or self.before is not None or self.after is not None:
            return False
        known = not isinstance(self.power, Tensor) or (
            self.power.is_cpu and not torch.compiler.is_compiling()
        )
        return known and float(self.power) == 1

    def __call__(self, g: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the image of `g`, written into `out` if that is given and `g` is plain."""
        _check_gradient(g)
        if self.is_identity:
            return g
        if g.layout == torch.sparse_coo:
            g = g.coalesce()
            return torch.sparse_coo_tensor(
                g.indices(), self(g.values()), g.shape, is_coalesced=True, check_invariants=False
            )
        if is_dtensor(g):
            return self._on_shards(g)
        if g.is_complex():
            return self._keep_phase(g)
        if g.requires_grad and torch.is_grad_enabled():
            return self._differentiable(g)
        out = torch.empty_like(g) if out is None else out
        if not _is_reduced(g):
            return self._into(out, g)
        if not (g.is_contiguous() and out.is_contiguous()):
            return out.copy_(self(g.float()))
        for source, target in zip(
            torch.split(g.view(-1), BLOCK), torch.split(out.view(-1), BLOCK), strict=True
        ):
            target.copy_(self(source.float()))
        return out

    def foreach(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the image of every tensor, by torch's foreach kernels where they apply."""
        if isinstance(tensors, Tensor) or not isinstance(tensors, Sequence):
            raise refusal("tensors", f"a {type(tensors).__name__}", "a list or tuple of tensors", TypeError)
        tensors = list(tensors)
        for g in tensors:
            _check_gradient(g)
        fits = len(tensors) > 1 and all(is_plain(g) and not _is_reduced(g) for g in tensors)
        fits = fits and len({g.device for g in tensors}) == 1
        tracked = torch.is_grad_enabled() and any(g.requires_grad for g in tensors)
        if not fits or tracked or self.is_identity or isinstance(self.power, Tensor):
            return [self(g) for g in tensors]
        powered = list(torch._foreach_abs(tensors))
        if self.before is not None:
            torch._foreach_mul_(powered, _on(powered[0], self.before))
        if self.offset:
            torch._foreach_add_(powered, self.offset)
        torch._foreach_pow_(powered, self.power)
        for out, g in zip(powered, tensors, strict=True):
            out.copysign_(g)
            if self.offset:
                out.masked_fill_(g == 0, 0).copysign_(g)
        if self.after is not None:
            torch._foreach_mul_(powered, _on(powered[0], self.after))
        return powered

    def _into(self, out: Tensor, g: Tensor) -> Tensor:
        torch.abs(g, out=out)
        if self.before is not None:
            out.mul_(_on(out, self.before))
        if self.offset:
            # Where g is 0 the sign is 0, which copysign does not know.
            out.add_(self.offset).masked_fill_(g == 0, 0)
        out.pow_(_on(out, self.power)).copysign_(g)
        return out if self.after is None else out.mul_(_on(out, self.after))

    def _differentiable(self, g: Tensor) -> Tensor:
        wide = g.float() if _is_reduced(g) else g
        wide = wide if self.before is None else wide * _on(g, self.before)
        zero = wide == 0
        # For p < 1 the derivative at 0 is infinite, and times that of |g| it would be NaN; here it is 0.
        safe = wide.masked_fill(zero, 1)
        powered = torch.copysign((safe.abs() + self.offset).pow(_on(g, self.power)), safe)
        powered = torch.where(zero, wide.detach(), powered)
        return (powered if self.after is None else powered * _on(g, self.after)).to(g.dtype)

    def _keep_phase(self, g: Tensor) -> Tensor:
        zero = g == 0
        # As above, with 1 in the place of 0.
        modulus = g.masked_fill(zero, 1).abs()
        scaled = modulus if self.before is None else modulus * _on(g, self.before)
        factor = (scaled + self.offset).pow(_on(g, self.power)) / modulus
        factor = factor if self.after is None else factor * _on(g, self.after)
        return torch.where(modulus.isfinite() & ~zero, g * factor, g)

    def _on_shards(self, g: Tensor) -> Tensor:
        from torch.distributed.tensor import DTensor

        assert isinstance(g, DTensor)
        if any(placement.is_partial() for placement in g.placements):
            allowed = (
                "Shard or Replicate (redistribute it first: the power of a sum is not the sum of powers)"
            )
            raise refusal("placements of the gradient", g.placements, allowed, ValueError)
        return DTensor.from_local(
            self(g.to_local()), g.device_mesh, g.placements, run_check=False, shape=g.shape, stride=g.stride()
        )


def _on(g: Tensor, value: F) -> F:
    """Return a number as it is, and a tensor where `g` lies: the parameters may lie on several devices."""
    return value.to(g.device) if isinstance(value, Tensor) else value


def _is_reduced(g: Tensor) -> bool:
    return g.dtype in (torch.bfloat16, torch.float16)


def _check_gradient(g: object) -> None:
    allowed = "a tensor of real floating or complex numbers"
    if not isinstance(g, Tensor):
        raise refusal("g", f"a {type(g).__name__}", allowed, TypeError)
    if not (g.is_floating_point() or g.is_complex()):
        raise refusal("g", f"a tensor of {g.dtype}", allowed, TypeError)
    if g.layout not in (torch.strided, torch.sparse_coo):
        raise refusal("layout of g", g.layout, "torch.strided or torch.sparse_coo", ValueError)

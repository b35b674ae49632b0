"""The sign-power transform φ_p(g) = sign(g)·|g|^p, for one tensor and for lists of them (Section 3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from gradpower.optimizers.shards import any_dtensor, is_dtensor, like_shard, shard_of
from gradpower.tools.errors import InputError, real, require

F = TypeVar("F", float, Tensor, float | Tensor)
WIDE = (torch.float32, torch.float64)
POWER = "a finite number > 0, or a 0-dimensional floating-point tensor of one"
_KINDS = (Tensor, torch.nn.Parameter)
# Reduced precision and complex numbers are computed wider, this many entries at a time, not as a whole tensor.
BLOCK = 1 << 20
# Entries up to which tensors share launches on the CPU; elsewhere it is BLOCK. For more, a pass over memory costs more
# than a launch, and taken one by one they need no memory for their signs.
LARGE = 1 << 16


def sign_power(g: Tensor, power: float | Tensor, *, offset: float = 0.0) -> Tensor:
    """Return φ_p(g) = sign(g)·|g|^p, elementwise.

    Parameters
    ----------
    g : Tensor
        Gradients of any shape and floating or complex dtype, on any device, dense or sparse in COO layout. A DTensor
        may not be Partial: the power of a sum is not the sum of powers.
    power : float or Tensor
        The power p > 0; a 0-dimensional tensor lets p change without a new compilation or a synchronisation.
    offset : float
        δ >= 0 of the variant sign(g)·(|g| + δ)^p; the authors' training code has δ = 1e-8.

    Returns
    -------
    Tensor
        Same shape, dtype, device and layout. At p = 1 and δ = 0 the map is the identity and `g` itself is
        returned, the same object; otherwise a new tensor.

    Notes
    -----
    0 → 0 (with its sign), ±inf → ±inf, NaN → NaN, at every p. bfloat16 and float16 are computed in float32 and
    rounded once, and what is too large for float16 becomes its largest number, ±65504, not infinite; float64 stays
    float64. Complex entries keep their phase, φ_p(g) = g·|g|^(p−1), and infinite ones pass through. Sparse COO
    tensors are coalesced first, as the power of a sum is meant. DTensor shards are mapped where they lie. The map is
    differentiable in `g`, in both modes: the derivative is p·|g|^(p−1), and 0 where g = 0.

    Examples
    --------
    >>> sign_power(torch.tensor([-4.0, 0.0, 0.25]), 0.5)
    tensor([-2.0000,  0.0000,  0.5000])
    >>> g = torch.ones(3)
    >>> sign_power(g, 1.0) is g
    True
    """
    return checked_transform(power, offset)(g)


@torch.no_grad()
def sign_power_(g: Tensor, power: float | Tensor, *, offset: float = 0.0) -> Tensor:
    """Replace the entries of `g` by φ_p(g) = sign(g)·|g|^p and return `g`, as torch's `abs_` and `pow_` do.

    Arguments and errors are those of `sign_power`; a sparse `g` has to be coalesced.

    Notes
    -----
    Not recorded by autograd. Extra memory: as much as `g`, and as in `PoweredOptimizer` for complex and reduced dtypes.

    Examples
    --------
    >>> sign_power_(torch.tensor([-3.0, 2.0]), 2.0)
    tensor([-9.,  4.])
    """
    image = checked_transform(power, offset)(g)
    return g if image is g else g.copy_(image)


def foreach_sign_power(
    tensors: Sequence[Tensor], power: float | Tensor, *, offset: float = 0.0
) -> list[Tensor]:
    """Return [φ_p(g) for g in tensors] with few kernel launches; at p = 1 and offset 0 the tensors themselves.

    Arguments and errors are those of `sign_power`; the tensors may differ in shape, dtype and device. Within
    `torch.no_grad()` small tensors share their launches, and a zero may lose its sign.

    Examples
    --------
    >>> foreach_sign_power([torch.tensor([-3.0]), torch.tensor([[2.0]])], 2.0)
    [tensor([-9.]), tensor([[4.]])]
    """
    return checked_transform(power, offset).foreach(tensors)


def check_power(value: object, argument: str = "power", *, read: bool = True) -> float | Tensor:
    """Return `value` if it is a power p: finite, > 0, a number or a 0-dimensional real tensor.

    Without `read` the value of a tensor is not looked at: that would wait for its device, or break a graph.
    """
    if not isinstance(value, Tensor):
        return real(argument, value, POWER, gt=0)
    require(value.is_floating_point(), argument, f"a tensor of {value.dtype}", POWER)
    require(value.ndim == 0, argument, f"a tensor of shape {tuple(value.shape)}", POWER)
    if read:
        real(argument, value.item(), POWER, gt=0)
    return value


def checked_transform(power: object, offset: object) -> SignPower:
    """Return φ_p for arguments that a user gave."""
    read = not torch.compiler.is_compiling() and isinstance(power, Tensor) and power.is_cpu
    return SignPower(check_power(power, read=read), real("offset", offset, ge=0))


def is_plain(g: Tensor) -> bool:
    """Return whether `g` is a dense real tensor of no subclass."""
    return type(g) in _KINDS and g.layout is torch.strided and not g.is_complex()


@dataclass  # not frozen: torch.compile of 2.9 cannot trace how such an object is made
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

    def __call__(self, g: Tensor) -> Tensor:
        """Return the image of one tensor."""
        _check_gradient(g)
        if self.is_identity:
            return g
        if g.layout == torch.sparse_coo:
            g = g.coalesce()
            return torch.sparse_coo_tensor(
                g.indices(), self(g.values()), g.shape, is_coalesced=True, check_invariants=False
            )
        if is_dtensor(g):
            return like_shard(g, self(shard_of(g)))
        if torch.is_grad_enabled():
            return self._keep_phase(g) if g.is_complex() else self._differentiable(g)
        if g.dtype in WIDE:
            return self._raise(g.abs(), g)
        narrow = self._keep_phase if g.is_complex() else self._narrow
        if not g.is_contiguous() or g.numel() <= BLOCK:
            return narrow(g)
        image = torch.empty_like(g)
        pieces = (torch.split(t.view(-1), BLOCK) for t in (g, image))
        for source, target in zip(*pieces, strict=True):
            target.copy_(narrow(source))
        return image

    def foreach(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the image of every tensor, in a fixed number of launches for the many small ones."""
        if isinstance(tensors, Tensor) or not isinstance(tensors, Sequence):
            raise InputError("tensors", f"a {type(tensors).__name__}", "a list or tuple of tensors")
        if self.is_identity or torch.is_grad_enabled():
            return [self(g) for g in tensors]
        if any_dtensor(tensors):
            images = self.foreach([shard_of(g) for g in tensors])
            return [like_shard(g, image) for g, image in zip(tensors, images, strict=True)]
        results: dict[int, Tensor] = {}
        alike: dict[tuple[torch.dtype, torch.device], list[int]] = {}
        for index, g in enumerate(tensors):
            if g.dtype in WIDE and is_plain(g) and g.numel() <= (LARGE if g.is_cpu else BLOCK):
                alike.setdefault((g.dtype, g.device), []).append(index)
            else:
                results[index] = self(g)
        for indices in alike.values():
            for index, image in zip(indices, self._together([tensors[i] for i in indices]), strict=True):
                results[index] = image
        return [results[index] for index in range(len(tensors))]

    def _together(self, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the images of plain tensors of one dtype on one device; a zero loses its sign."""
        images = torch._foreach_abs(tensors)
        if self.before is not None:
            torch._foreach_mul_(images, _on(tensors[0], self.before))
        if self.offset:
            torch._foreach_add_(images, self.offset)
        if isinstance(self.power, Tensor):
            torch._foreach_pow_(images, [_on(tensors[0], self.power)] * len(images))
        else:
            torch._foreach_pow_(images, self.power)
        torch._foreach_mul_(images, torch._foreach_sign(tensors))
        if self.after is not None:
            torch._foreach_mul_(images, _on(tensors[0], self.after))
        return tuple(images)

    def _raise(self, modulus: Tensor, g: Tensor) -> Tensor:
        """Return the image of g; `modulus` is |g| at the start, and is written over."""
        if self.before is not None:
            modulus.mul_(_on(g, self.before))
        if self.offset:
            # Where g is 0 the sign is 0, which copysign does not know.
            modulus.add_(self.offset).masked_fill_(g == 0, 0)
        image = modulus.pow_(_on(g, self.power)).copysign_(g)
        return image if self.after is None else image.mul_(_on(g, self.after))

    def _narrow(self, g: Tensor) -> Tensor:
        """Return the image of float16 or bfloat16, computed in float32; what is finite stays so in float16."""
        image = self._raise(g.abs().float(), g)
        if g.dtype == torch.float16:
            largest = torch.finfo(g.dtype).max
            image = torch.where(g.isinf(), g.float(), image.clamp_(-largest, largest))
        return image.to(g.dtype)

    def _differentiable(self, g: Tensor) -> Tensor:
        wide = g.float() if g.dtype in (torch.bfloat16, torch.float16) else g
        wide = wide if self.before is None else wide * _on(g, self.before)
        zero = wide == 0
        # For p < 1 the derivative at 0 is infinite, and times that of |g| it would be NaN; here it is 0.
        safe = wide.masked_fill(zero, 1)
        image = torch.copysign((safe.abs() + self.offset).pow(_on(g, self.power)), safe)
        image = torch.where(zero, wide.detach(), image)
        image = image if self.after is None else image * _on(g, self.after)
        if g.dtype == torch.float16:
            largest = torch.finfo(g.dtype).max
            image = torch.where(g.isinf(), image, image.clamp(-largest, largest))
        return image.to(g.dtype)

    def _keep_phase(self, g: Tensor) -> Tensor:
        # In complex128, or the modulus of a large complex64 would be infinite.
        wide = g.to(torch.complex128)
        zero = wide == 0
        modulus = wide.masked_fill(zero, 1).abs()
        scaled = modulus if self.before is None else modulus * _on(g, self.before)
        factor = (scaled + self.offset).pow(_on(g, self.power)) / modulus
        factor = factor if self.after is None else factor * _on(g, self.after)
        return torch.where(modulus.isfinite() & ~zero, wide * factor, wide).to(g.dtype)


def _on(g: Tensor, value: F) -> F:
    """Return a number as it is, and a tensor where `g` lies: the parameters may lie on several devices."""
    return value.to(g.device) if isinstance(value, Tensor) else value


def _check_gradient(g: object) -> None:
    allowed = "a tensor of real floating or complex numbers"
    if not isinstance(g, Tensor):
        raise InputError("g", f"a {type(g).__name__}", allowed)
    require(g.is_floating_point() or g.is_complex(), "g", f"a tensor of {g.dtype}", allowed)
    known = g.layout in (torch.strided, torch.sparse_coo)
    require(known, "layout of g", g.layout, "torch.strided or torch.sparse_coo")

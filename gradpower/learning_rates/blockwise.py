"""Blockwise learning rates: one parameter group for each kind of block of a transformer.

Norm, attention V and O, feed-forward, attention Q and K, and embedding differ in sharpness, and each gets the
base learning rate times its own ratio (Wang et al., arXiv 2502.19002; Figure 5 of the paper adds GradPower).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gradpower.names import check_pattern, match_parameters
from gradpower.tools.errors import InputError, real, require


@dataclass(frozen=True)
class Block:
    r"""One kind of block, and the ratio of its learning rate to the base.

    Parameters
    ----------
    name : str
        Name of the parameter group.
    pattern : str
        Regular expression, searched in the dotted name of a parameter.
    ratio : float
        Learning rate divided by the base learning rate, > 0.

    Raises
    ------
    InputError
        If the name is empty, the pattern no regular expression or the ratio not finite and positive.

    Examples
    --------
    >>> Block("router", r"mlp\.gate\.", 2)
    Block(name='router', pattern='mlp\\.gate\\.', ratio=2.0)
    """

    name: str
    pattern: str
    ratio: float

    def __post_init__(self) -> None:
        require(isinstance(self.name, str) and self.name, "name", self.name, "a non-empty string")
        check_pattern(f"pattern of block {self.name!r}", self.pattern)
        object.__setattr__(self, "ratio", real(f"ratio of block {self.name!r}", self.ratio, gt=0))


# The router is the feed-forward's: the authors' dense models have none, and their test, "mlp" in the name, would
# put it there. A norm is told by its own name, so that q_norm is a norm and no query.
BLOCKS = (
    Block("norm", r"norm\.(?:weight|bias)$", 1),
    Block("vo", r"(?:^|\.)[vo]_proj\.", 4),
    Block("ffn", r"(?:^|\.)mlp\.", 6),
    Block("qk", r"(?:^|\.)[qk]_proj\.", 8),
    Block("embedding", r"(?:^|\.)embed_tokens\.", 10),
    Block("head", r"(?:^|\.)lm_head\.", 1),
)


def blockwise_groups(
    model: nn.Module,
    lr: float,
    *,
    blocks: Iterable[Block] = BLOCKS,
    weight_decay: float | None = None,
    no_decay: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return one parameter group for each block, with the learning rate lr·ratio.

    A parameter belongs to the first block whose pattern is found in its name; names are those of
    `model.named_parameters()` without what DistributedDataParallel, FSDP and torch.compile add. The default
    `BLOCKS` fit LLaMA and Qwen2-MoE of transformers 4 and 5: norm 1, attention V and O ("vo") 4, feed-forward
    ("ffn") 6, attention Q and K ("qk") 8, embedding 10, head 1. Biases go with their matrices. The experts, the
    shared expert and its gate are "ffn"; the sources do not say where the router of a mixture of experts
    belongs, and putting it to "ffn" is this project's choice.

    Parameters
    ----------
    model : torch.nn.Module
        The model. Of tied parameters the first matching block in the order of `blocks` owns the one tensor.
        Frozen parameters (`requires_grad` False) are left out.
    lr : float
        Base learning rate η >= 0, that of a block with ratio 1.
    blocks : iterable of Block
        Blocks in order of precedence.
    weight_decay : float, optional
        Weight decay of all groups; by default the groups have none and the optimizer's own holds. AdamW
        multiplies it by the group's learning rate.
    no_decay : collection of str
        Names of blocks whose weight decay is 0. The authors decay all blocks.

    Returns
    -------
    list of dict
        Groups with the keys "params", "lr", "name", "ratio" and, if asked for, "weight_decay", in the order of
        `blocks`; blocks that own nothing (all frozen, or tied) are left out.

    Raises
    ------
    InputError
        If an argument is of another type, a pattern matches no parameter left by earlier ones, a trainable
        parameter matches none, two blocks have one name, nothing is trainable, or `no_decay` names no block.

    Examples
    --------
    >>> model = nn.ModuleDict({"embed_tokens": nn.Embedding(3, 2), "lm_head": nn.Linear(2, 3, bias=False)})
    >>> groups = blockwise_groups(model, 1e-3, blocks=BLOCKS[-2:])
    >>> [(group["name"], group["lr"]) for group in groups]
    [('embedding', 0.01), ('head', 0.001)]
    """
    lr = real("lr", lr, ge=0)
    if weight_decay is not None:
        weight_decay = real("weight_decay", weight_decay, "a finite number >= 0, or None", ge=0)
    blocks = _checked_blocks(blocks, no_decay)
    owned: list[list[nn.Parameter]] = []
    try:
        owned, others = match_parameters(model, {f"pattern of block {b.name!r}": b.pattern for b in blocks})
    except ValueError:
        # The default patterns on a model with other names: what fits none says more than the first idle pattern.
        named = dict(model.named_parameters())
        others = {n: p for n, p in named.items() if not any(re.search(b.pattern, n) for b in blocks)}
        if blocks != BLOCKS or not others:
            raise
    if others:
        shown = f"no pattern for {len(others)} parameters, among them {', '.join(list(others)[:3])}"
        own = (
            'patterns that match every trainable parameter, as in blocks=[Block("norm", r"ln_", ratio=1), …]'
        )
        raise InputError("blocks", shown, own)
    groups = []
    for block, parameters in zip(blocks, owned, strict=True):
        group = {"params": parameters, "lr": lr * block.ratio, "name": block.name, "ratio": block.ratio}
        if block.name in no_decay:
            group["weight_decay"] = 0.0
        elif weight_decay is not None:
            group["weight_decay"] = weight_decay
        if parameters:
            groups.append(group)
    require(groups, "model", type(model).__name__, "a model with trainable parameters")
    return groups


def blockwise_warmup(
    optimizer: Optimizer,
    warmup_steps: float,
    *,
    decay: Callable[[int], float] | Sequence[Callable[[int], float]] | None = None,
    stretch: bool = True,
    min_lr: float = 0.0,
) -> LambdaLR:
    """Return a schedule of linear warm-up and decay for the groups of `blockwise_groups`.

    With W = warmup_steps·ratio, or warmup_steps without `stretch`, η the group's learning rate ("initial_lr"
    where an earlier schedule has noted one) and D the decay, its learning rate at step t = 0, 1, … is

    - η·t/W for t <= W, so that the very first is 0, and
    - min_lr + (η − min_lr)·D(t) for t > W, or from t = 0 on if W = 0.

    As in the authors' code the ratio lengthens the warm-up, every block keeps the slope of the base, and all
    blocks come down to one `min_lr`, not to a fraction of their own rates: D falls from 1 to 0.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its groups need the key "ratio" if `stretch`.
    warmup_steps : float
        Steps of warm-up >= 0 of a group with ratio 1.
    decay : callable or sequence of callables, optional
        D, a function of the step t that returns a finite factor >= 0, one for all groups or one for each; 1 by
        default. t is counted from the start of training; the authors' cosine counts from the end of each
        block's own warm-up, which takes one function for each group.
    stretch : bool
        Whether the ratio lengthens the warm-up.
    min_lr : float
        Learning rate where D = 0, >= 0 and at most that of every group.

    Returns
    -------
    torch.optim.lr_scheduler.LambdaLR
        To be stepped after every step of the optimizer. Its `state_dict` holds numbers only; to resume, make the
        schedule in the same way (`decay` is not saved), and load its state and then the optimizer's.

    Raises
    ------
    InputError
        If an argument is of another type or out of range, a group has no ratio, or `decay` has another length
        than the groups.

    Examples
    --------
    >>> import torch
    >>> weights = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))]
    >>> groups = [{"params": [w], "lr": 0.1 * r, "ratio": r} for w, r in zip(weights, (1, 2), strict=True)]
    >>> optimizer = torch.optim.SGD(groups)
    >>> schedule = blockwise_warmup(optimizer, 2)
    >>> for step in range(5):
    ...     print([round(group["lr"], 3) for group in optimizer.param_groups])
    ...     optimizer.step()
    ...     schedule.step()
    [0.0, 0.0]
    [0.05, 0.05]
    [0.1, 0.1]
    [0.1, 0.15]
    [0.1, 0.2]
    """
    warmup_steps = real("warmup_steps", warmup_steps, ge=0)
    min_lr = real("min_lr", min_lr, ge=0)
    groups = optimizer.param_groups
    decays = list(decay) if isinstance(decay, Sequence) else [decay] * len(groups)
    count = len(decays)
    require(count == len(groups), "decay", f"a sequence of {count}", f"one function, or {len(groups)}")
    factors: list[Callable[[int], float]] = []
    for group, function in zip(groups, decays, strict=True):
        known = function is None or callable(function)
        require(known, "decay", function, "a function of the step, or one for each group")
        base = float(group.get("initial_lr", group["lr"]))
        require(min_lr <= base, "min_lr", min_lr, f"at most {base}, the learning rate of a group")
        warmup = warmup_steps * _ratio(group) if stretch else warmup_steps
        factors.append(_WarmupDecay(warmup, min_lr / base if base else 0.0, function))
    return LambdaLR(optimizer, factors)


class _WarmupDecay:
    """The factor of one group, t/W and then floor + (1 − floor)·D(t)."""

    # LambdaLR saves the __dict__ of its functions; code does not belong into a checkpoint, and has a slot.
    __slots__ = ("__dict__", "decay")

    def __init__(self, warmup: float, floor: float, decay: Callable[[int], float] | None) -> None:
        self.warmup, self.floor, self.decay = warmup, floor, decay

    def __call__(self, step: int) -> float:
        if self.warmup and step <= self.warmup:
            return step / self.warmup
        if self.decay is None:
            return 1.0
        return self.floor + (1 - self.floor) * real("decay(step)", self.decay(step), ge=0)


def _ratio(group: dict[str, Any]) -> float:
    require("ratio" in group, "ratio of a parameter group", "missing", "a number, or stretch=False")
    return real("ratio of a parameter group", group["ratio"], gt=0)


def _checked_blocks(blocks: Iterable[Block], no_decay: Collection[str]) -> tuple[Block, ...]:
    blocks = tuple(blocks)
    names = [block.name for block in blocks]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError("blocks", f"two blocks named {twice[0]!r}", "blocks with distinct names")
    require(not isinstance(no_decay, str), "no_decay", no_decay, "a collection of names of blocks")
    for name in no_decay:
        require(name in names, "no_decay", name, f"names of blocks ({', '.join(names)})")
    return blocks

"""Blockwise learning rates: one parameter group for each kind of block of a transformer.

Norm, attention V and O, feed-forward, attention Q and K, and embedding differ in sharpness, and each gets the
base learning rate times its own ratio (Wang et al., arXiv 2502.19002; Figure 5 of the paper adds GradPower).
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gradpower.groups import check_pattern, match_parameters
from gradpower.tools.errors import InputError, real, require


@dataclass(frozen=True)
class Block:
    r"""One kind of block, and the ratio of its learning rate to the base.

    Parameters
    ----------
    name : str
        Name of the parameter group, not empty.
    pattern : str
        Regular expression, searched in the dotted name of a parameter.
    ratio : float
        Learning rate divided by the base learning rate, finite and > 0.

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
    """Return one parameter group for each block, with the learning rate lr·ratio, "name" and "ratio".

    A parameter belongs to the first block whose pattern is found in its name, without what DistributedDataParallel,
    FSDP and torch.compile add to that; blocks without trainable parameters are left out. The default `BLOCKS` fit LLaMA
    and Qwen2-MoE of transformers 4 and 5: norm 1, attention V and O ("vo") 4, feed-forward ("ffn") 6, attention Q and K
    ("qk") 8, embedding 10, head 1. Biases go with their matrices. Experts, shared expert and its gate are "ffn"; so is
    the router, of which the sources do not say where it belongs.

    Parameters
    ----------
    model : torch.nn.Module
        The model. The first matching block owns a tied parameter; frozen ones are left out.
    lr : float
        Base learning rate η >= 0, that of a block with ratio 1.
    blocks : iterable of Block
        Blocks in order of precedence.
    weight_decay : float, optional
        Weight decay >= 0 of all groups, instead of the optimizer's own. AdamW multiplies it by the group's rate.
    no_decay : collection of str
        Names of blocks whose weight decay is 0. The authors decay all blocks.

    Raises
    ------
    InputError
        Also if a pattern matches no parameter left by earlier ones, a parameter no pattern, or two names are equal.

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
    owned = _owned(model, blocks)
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


def _owned(model: nn.Module, blocks: tuple[Block, ...]) -> list[list[nn.Parameter]]:
    patterns = {f"pattern of block {block.name!r}": block.pattern for block in blocks}
    try:
        owned, others = match_parameters(model, patterns)
        strays = list(others)
    except InputError:
        # The default patterns on a model with other names: what fits none says more than the first idle pattern.
        names = [name for name, _ in model.named_parameters()]
        strays = [name for name in names if not any(re.search(p, name) for p in patterns.values())]
        if blocks != BLOCKS or not strays:
            raise
    shown = f"no pattern for {len(strays)} parameters, among them {', '.join(strays[:3])}"
    own = 'patterns that match every trainable parameter, as in blocks=[Block("norm", r"ln_", ratio=1), …]'
    require(not strays, "blocks", shown, own)
    return owned


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
    blocks come down to one `min_lr`, not to a fraction of their own rates: D falls from 1 to 0. Step the schedule after
    every step of the optimizer. To resume, make it in the same way (`decay` is not saved), load its state and then the
    optimizer's.

    Parameters
    ----------
    warmup_steps : float
        Steps of warm-up >= 0 of a group with ratio 1.
    decay : callable or sequence of callables, optional
        D >= 0 as a function of the step t from the start of training, one for all groups or one for each; 1 by
        default. The authors' cosine counts from the end of each block's own warm-up, and so takes one for each.
    stretch : bool
        Whether the ratio lengthens the warm-up; then every group needs the key "ratio".
    min_lr : float
        Learning rate where D = 0, >= 0 and at most that of every group.

    Examples
    --------
    >>> import torch
    >>> weights = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
    >>> groups = [{"params": [w], "lr": 0.1 * r, "ratio": r} for w, r in zip(weights, (1, 2), strict=True)]
    >>> schedule = blockwise_warmup(torch.optim.SGD(groups), 2)
    >>> [warm_up(3) for warm_up in schedule.lr_lambdas]  # shares of 0.1 and 0.2
    [1.0, 0.75]
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

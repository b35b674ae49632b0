"""Several optimizers as one torch Optimizer, each with its own parameters."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from torch import Tensor
from torch.optim import Optimizer

from gradpower.optimizers.base import PoweredOptimizer
from gradpower.optimizers.stand_in import Group, evaluated
from gradpower.tools.errors import InputError, require


class CombinedOptimizer(Optimizer):
    """One optimizer made from several, for instance Muon for the matrices and AdamW for the rest.

    Its `param_groups` are the very groups of the optimizers, one list after the other, and its `state` is the one
    mapping that all of them use, so that learning-rate schedules, gradient scalers, checkpoints, copies and
    trainers see an ordinary optimizer. Every group carries the key "algorithm", which says whose it is.

    Parameters
    ----------
    *optimizers : torch.optim.Optimizer
        The optimizers, with disjoint parameters; none that is a combination itself, clips (by the norm of its own
        gradients only) or calls its closure repeatedly. From then on step, zero, save and load the combination only;
        their own step hooks still run, around their part of the step.
    algorithms : sequence of str, optional
        Their distinct names, in order; the names of their classes by default.

    Attributes
    ----------
    optimizers : dict of str to torch.optim.Optimizer
        The optimizers by name.
    defaults : dict
        The defaults that all of them have and agree on, often "lr".

    Examples
    --------
    >>> import torch
    >>> matrix, bias = torch.nn.Parameter(torch.eye(2)), torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = CombinedOptimizer(torch.optim.Muon([matrix]), torch.optim.AdamW([bias]))
    >>> [group["algorithm"] for group in optimizer.param_groups], optimizer.defaults["lr"]
    (['Muon', 'AdamW'], 0.001)
    """

    optimizers: dict[str, Optimizer]

    def __init__(self, *optimizers: Optimizer, algorithms: Sequence[str] | None = None) -> None:
        for optimizer in optimizers:
            _check(optimizer)
        names = [type(optimizer).__name__ for optimizer in optimizers] if algorithms is None else algorithms
        if not optimizers or isinstance(names, str) or len(set(names)) != len(optimizers):
            raise InputError("algorithms", names, "a distinct name for each optimizer, at least one")
        self.optimizers = dict(zip(names, optimizers, strict=True))
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["algorithm"] = name
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        super().__init__(groups, _common([optimizer.defaults for optimizer in optimizers]))
        for optimizer in optimizers:
            self.state.update(optimizer.state)
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of every optimizer, and return the loss of the closure, if there is one.

        The closure evaluates the model anew; it is called once, with gradients enabled, before the steps.
        """
        loss = evaluated(closure)
        # A trainer may have put other lists or mappings in place of ours.
        self._share()
        for optimizer in self.optimizers.values():
            if optimizer.param_groups:
                optimizer.step()
        return loss

    def add_param_group(self, param_group: Group) -> None:
        """Add a group to the optimizer that its key "algorithm" names; InputError if there is none of that name."""
        if not isinstance(param_group, dict):
            raise InputError("param_group", type(param_group).__name__, "a dict")
        optimizer = self.optimizers[self._algorithm_of(param_group)]
        super().add_param_group(param_group)
        if not any(group is param_group for group in optimizer.param_groups):
            try:
                optimizer.add_param_group(param_group)
            except BaseException:
                self.param_groups.pop()
                raise

    def __getstate__(self) -> dict[str, Any]:
        # What the optimizers have beside groups and state, which are ours and go only once.
        parts = {
            name: (type(optimizer), _without(optimizer.__getstate__(), "state", "param_groups"))
            for name, optimizer in self.optimizers.items()
        }
        return {**super().__getstate__(), "optimizers": parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over the state of an unpickled or copied object, or of `load_state_dict`, in all optimizers."""
        if "optimizers" not in state:
            self._load(state)
            return
        super().__setstate__(_without(state, "optimizers"))
        self.optimizers = {}
        for name, (kind, rest) in state["optimizers"].items():
            optimizer = kind.__new__(kind)
            groups = [group for group in self.param_groups if group["algorithm"] == name]
            # Its own part of the state: some classes expect their own keys in all of it.
            optimizer.__setstate__({**rest, "state": _part(self.state, groups), "param_groups": groups})
            self.optimizers[name] = optimizer
        self._share()

    def _load(self, state: dict[str, Any]) -> None:
        """Let every optimizer load its part: only its class knows what older or plainer states lack."""
        loaded, mine = (
            [g.get("algorithm") for g in groups] for groups in (state["param_groups"], self.param_groups)
        )
        require(loaded == mine, "algorithms of the loaded groups", loaded, str(mine))
        parts = {}
        for name, optimizer in self.optimizers.items():
            groups = [g for g in state["param_groups"] if g["algorithm"] == name]
            optimizer.load_state_dict(_packed(groups, state["state"]))
            parts[name] = iter(optimizer.param_groups)
        merged: defaultdict[Any, Any] = defaultdict(dict)
        for optimizer in self.optimizers.values():
            merged |= optimizer.state
        super().__setstate__({"state": merged, "param_groups": [next(parts[str(name)]) for name in mine]})
        self._share()

    def _share(self) -> None:
        """Give every optimizer its groups of ours, and our state."""
        groups: dict[str, list[Group]] = {name: [] for name in self.optimizers}
        for group in self.param_groups:
            groups[self._algorithm_of(group)].append(group)
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups, optimizer.state = groups[name], self.state

    def _algorithm_of(self, group: Group) -> str:
        name = group.get("algorithm", "missing")
        if name not in self.optimizers:
            allowed = " or ".join(map(repr, self.optimizers))
            raise InputError("algorithm of a parameter group", name, allowed)
        return cast(str, name)


def _check(optimizer: object) -> None:
    kind, allowed = type(optimizer).__name__, "torch optimizers that take one gradient a step"
    if not isinstance(optimizer, Optimizer) or isinstance(optimizer, CombinedOptimizer):
        raise InputError("optimizers", kind, f"{allowed}, and no combinations")
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise InputError("optimizers", kind, f"{allowed} (it needs a closure in every step)")
    if isinstance(optimizer, PoweredOptimizer) and optimizer.clip is not None:
        raise InputError("clip of an optimizer", optimizer.clip, "None: its norm would lack the others'")


def _common(defaults: list[dict[str, Any]]) -> dict[str, Any]:
    first, *others = defaults
    return {k: v for k, v in first.items() if all(k in other and bool(v == other[k]) for other in others)}


def _part(state: Mapping[Any, Any], groups: Iterable[Group]) -> defaultdict[Any, Any]:
    """Return the state of the parameters of `groups`, and what belongs to no parameter."""
    own = {p for group in groups for p in group["params"]}
    return defaultdict(dict, {k: v for k, v in state.items() if k in own or not isinstance(k, Tensor)})


def _packed(groups: list[Group], state: Mapping[Any, Any]) -> dict[str, Any]:
    """Return groups and state as a state dict, with numbers in place of the parameters."""
    numbers = {p: i for i, p in enumerate(p for group in groups for p in group["params"])}
    return {
        "state": {numbers.get(k, k): v for k, v in _part(state, groups).items()},
        "param_groups": [{**group, "params": [numbers[p] for p in group["params"]]} for group in groups],
    }


def _without(state: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {k: v for k, v in state.items() if k not in names}

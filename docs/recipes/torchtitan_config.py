"""Not run by the tests: needs torchtitan, main of August 2026 (after 0.2.2), and a GPU.

The hook is `OptimizersContainer._resolve_optimizer_factory`, which turns a name into a class. With this folder on
PYTHONPATH: `MODULE=torchtitan_config CONFIG=llama3_power ./run_train.sh`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch.optim import Optimizer
from torchtitan.components.optimizer import OptimizersContainer, ParamGroupConfig
from torchtitan.models.llama3.config_registry import llama3_debugmodel
from torchtitan.trainer import Trainer

from gradpower import AdamWPower


class PoweredOptimizers(OptimizersContainer):
    """torchtitan's optimizers and AdamWPower; it clips the raw gradients before their step."""

    @dataclass(kw_only=True, slots=True)
    class Config(OptimizersContainer.Config):
        """As there; torchtitan asks every container for a class of its own."""

    @staticmethod
    def _resolve_optimizer_factory(name: str) -> Callable[..., Optimizer]:
        return AdamWPower if name == "AdamWPower" else OptimizersContainer._resolve_optimizer_factory(name)


def llama3_power() -> Trainer.Config:
    """Return torchtitan's smallest configuration with AdamWPower."""
    config = llama3_debugmodel()
    adamw = {"lr": 8e-4, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1, "power": 1.2}
    group = ParamGroupConfig(pattern=".*", optimizer_name="AdamWPower", optimizer_kwargs=adamw)
    # The constructor asks for a power as well, for groups that have none.
    config.optimizer = PoweredOptimizers.Config(
        param_groups=[group], optimizer_factory_kwargs_by_name={"AdamWPower": {"power": 1.2}}
    )
    return config

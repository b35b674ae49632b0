"""Sign-power gradients, φ_p(g) = sign(g)·|g|^p, for any torch optimizer.

>>> import torch
>>> from gradpower import AdamWPower
>>> model = torch.nn.Linear(2, 1)
>>> optimizer = AdamWPower(model.parameters(), lr=1e-3, weight_decay=0.1, power=1.2)

The library needs torch only, and imports none of the repository's other packages (theory, simulate, experiments,
figures), so that it can be used on its own. Only the command line in `gradpower.__main__` imports them, one at a time.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradpower.blocks import Block, blockwise_groups, blockwise_warmup
    from gradpower.clipping import Clip, clip_then_power, power_then_clip
    from gradpower.combined import CombinedOptimizer
    from gradpower.fused_adam import step_paths
    from gradpower.module_scaling import apply_module_scales, module_scales
    from gradpower.module_snr import ModuleSNR, SNRMeter, modules_by_pattern, modules_of, snr_from_adam
    from gradpower.muon import MuonAdamWPower, StackedMuon, muon_groups
    from gradpower.optimizers import (
        AdagradPower,
        AdamPower,
        AdamWPower,
        MuonPower,
        RMSpropPower,
        SGDPower,
    )
    from gradpower.powered_classes import powered
    from gradpower.powered_optimizer import PoweredOptimizer
    from gradpower.schedules import (
        Anneal,
        PowerSchedule,
        constant_power,
        cosine_power,
        linear_power,
        wsd_power,
    )
    from gradpower.transform import foreach_sign_power, sign_power, sign_power_
    from gradpower.update_size import UpdateMeter, UpdateSize, effective_update_ratio

# Where each public name lives: torch is imported when the first of them is asked for, not by `gradpower --help`.
_HOMES = {
    "blocks": "Block blockwise_groups blockwise_warmup",
    "clipping": "Clip clip_then_power power_then_clip",
    "combined": "CombinedOptimizer",
    "fused_adam": "step_paths",
    "module_scaling": "apply_module_scales module_scales",
    "module_snr": "ModuleSNR SNRMeter modules_by_pattern modules_of snr_from_adam",
    "muon": "MuonAdamWPower StackedMuon muon_groups",
    "optimizers": "AdagradPower AdamPower AdamWPower MuonPower RMSpropPower SGDPower",
    "powered_classes": "powered",
    "powered_optimizer": "PoweredOptimizer",
    "schedules": "Anneal PowerSchedule constant_power cosine_power linear_power wsd_power",
    "transform": "foreach_sign_power sign_power sign_power_",
    "update_size": "UpdateMeter UpdateSize effective_update_ratio",
}

__all__ = [
    "AdagradPower",
    "AdamPower",
    "AdamWPower",
    "Anneal",
    "Block",
    "Clip",
    "CombinedOptimizer",
    "ModuleSNR",
    "MuonAdamWPower",
    "MuonPower",
    "PowerSchedule",
    "PoweredOptimizer",
    "RMSpropPower",
    "SGDPower",
    "SNRMeter",
    "StackedMuon",
    "UpdateMeter",
    "UpdateSize",
    "apply_module_scales",
    "blockwise_groups",
    "blockwise_warmup",
    "clip_then_power",
    "constant_power",
    "cosine_power",
    "effective_update_ratio",
    "foreach_sign_power",
    "linear_power",
    "module_scales",
    "modules_by_pattern",
    "modules_of",
    "muon_groups",
    "power_then_clip",
    "powered",
    "sign_power",
    "sign_power_",
    "snr_from_adam",
    "step_paths",
    "wsd_power",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names.split():
            from importlib import import_module

            try:
                return getattr(import_module(f"gradpower.{module}"), name)
            except ModuleNotFoundError as error:
                if error.name != "torch":
                    raise
                raise ImportError(f"gradpower.{name} needs PyTorch: pip install torch") from None
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Looked up on demand: importlib.metadata would double the time that `gradpower --help` takes.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(__name__)
    except PackageNotFoundError:  # a source tree on the path, never installed
        return "unknown"


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""The public names, each with the module that it lives in: type checkers read this, and so does `__init__.py`."""

from gradpower.clipping import Clip as Clip
from gradpower.clipping import clip_then_power as clip_then_power
from gradpower.clipping import power_then_clip as power_then_clip
from gradpower.groups import modules_by_pattern as modules_by_pattern
from gradpower.groups import modules_of as modules_of
from gradpower.learning_rates.blockwise import Block as Block
from gradpower.learning_rates.blockwise import blockwise_groups as blockwise_groups
from gradpower.learning_rates.blockwise import blockwise_warmup as blockwise_warmup
from gradpower.learning_rates.module_scaling import apply_module_scales as apply_module_scales
from gradpower.learning_rates.module_scaling import module_scales as module_scales
from gradpower.meters.adam_snr import snr_from_adam as snr_from_adam
from gradpower.meters.module_snr import ModuleSNR as ModuleSNR
from gradpower.meters.module_snr import SNRMeter as SNRMeter
from gradpower.meters.update_meter import UpdateMeter as UpdateMeter
from gradpower.meters.update_size import UpdateSize as UpdateSize
from gradpower.optimizers.base import PoweredOptimizer as PoweredOptimizer
from gradpower.optimizers.classes import powered as powered
from gradpower.optimizers.combined import CombinedOptimizer as CombinedOptimizer
from gradpower.optimizers.fused_adam import step_paths as step_paths
from gradpower.optimizers.muon import MuonAdamWPower as MuonAdamWPower
from gradpower.optimizers.muon import StackedMuon as StackedMuon
from gradpower.optimizers.muon_groups import muon_groups as muon_groups
from gradpower.optimizers.power_optimizers import AdagradPower as AdagradPower
from gradpower.optimizers.power_optimizers import AdamPower as AdamPower
from gradpower.optimizers.power_optimizers import AdamWPower as AdamWPower
from gradpower.optimizers.power_optimizers import MuonPower as MuonPower
from gradpower.optimizers.power_optimizers import RMSpropPower as RMSpropPower
from gradpower.optimizers.power_optimizers import SGDPower as SGDPower
from gradpower.schedules import Anneal as Anneal
from gradpower.schedules import PowerSchedule as PowerSchedule
from gradpower.schedules import cosine_power as cosine_power
from gradpower.schedules import linear_power as linear_power
from gradpower.schedules import wsd_power as wsd_power
from gradpower.tools.errors import InputError as InputError
from gradpower.transform import foreach_sign_power as foreach_sign_power
from gradpower.transform import sign_power as sign_power
from gradpower.transform import sign_power_ as sign_power_

__all__: list[str]
__version__: str

"""What the power costs, as measured: the rows of results/step_time.json. Torch-free, for those who only read it."""

from dataclasses import dataclass
from typing import Literal

from gradpower.tools.results import Kind, Provenance

Device = Literal["cpu", "cuda"]
Layout = Literal["plain", "sharded"]
# What the project aims at: the time of AdamWPower's fused step over AdamW's, and the share of a whole training step.
TARGETS: dict[Device, float] = {"cpu": 1.15, "cuda": 1.02}
PAPERS_SHARE, TARGET_SHARE = 0.004, 0.001


@dataclass(frozen=True)
class Times:
    """Median seconds of a step of both optimizers, their ratio, and half the width of its 95 % interval."""

    base_seconds: float
    powered_seconds: float
    ratio: float
    ratio_margin: float


@dataclass(frozen=True)
class StepTime:
    """A step by one implementation; bandwidths are those of the least bytes that AdamW must move, and of a copy."""

    size: str
    parameters: int
    implementation: str
    base_seconds: float
    powered_seconds: float
    ratio: float
    ratio_margin: float
    copy_gb_per_second: float
    base_gb_per_second: float
    powered_gb_per_second: float


@dataclass(frozen=True)
class TrainingTime:
    """A whole training step of `tokens` tokens, and the share that the power adds to its seconds."""

    size: str
    parameters: int
    tokens: int
    base_seconds: float
    powered_seconds: float
    ratio: float
    ratio_margin: float
    whole_seconds: float
    share: float

    @property
    def margin(self) -> float:
        """Half the width of the share's 95 % interval; only the ratio of the steps is uncertain enough to matter."""
        return self.ratio_margin * self.base_seconds / self.whole_seconds


@dataclass(frozen=True)
class LaunchCount:
    """Launches and seconds of a step with many small parameters."""

    optimizer: str
    tensors: int
    layout: Layout
    base_launches: int
    powered_launches: int
    base_seconds: float
    powered_seconds: float
    ratio: float
    ratio_margin: float


@dataclass(frozen=True)
class CostConfig:
    """What was measured, and where."""

    size: tuple[str, ...]
    model: str
    tensors: tuple[int, ...]
    device: Device
    hardware: str
    power: float
    rounds: int
    seed: int


@dataclass(frozen=True)
class StepCost:
    """The content of results/step_time.json."""

    provenance: Provenance[CostConfig]
    steps: list[StepTime]
    training: TrainingTime
    launches: list[LaunchCount]


STEP_COST = Kind("step_time", StepCost, digits=4)

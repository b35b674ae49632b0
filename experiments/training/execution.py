"""How a run is executed: nothing here is part of the recipe, and its numbers change by rounding at the most."""

from dataclasses import dataclass
from pathlib import Path

from experiments.recipes.model_size import training_flops
from experiments.recipes.settings import Recipe
from gradpower.tools.errors import real, require, whole

# Dense bfloat16 multiply-adds of the tensor cores, in operations a second, by a part of the device's name.
PEAK_FLOPS = {
    "B200": 2.25e15,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
MOST_THREADS = 1024


@dataclass(frozen=True)
class Execution:
    """Where and how to run; InputError if a value is not allowed, or the device is not there.

    >>> Execution(device="cpu", threads=2).micro_batch_size is None
    True
    """

    device: str = "auto"
    """auto (a GPU if there is one), cpu, cuda or cuda:N; `accelerate launch` decides by itself."""
    micro_batch_size: int | None = None
    """Sequences that go through the model at a time on each device; all of a step's if not given."""
    shard: bool = False
    """Shard weights and optimizer over the ranks (FSDP2) instead of copying them (DDP)."""
    compile: bool = False
    """Compile the model with torch.compile."""
    threads: int | None = None
    """CPU threads; all cores if not given."""
    checkpoint_minutes: float = 1.0
    """Time between checkpoints; longer where they take long, so that they take at most 1/20 of the time."""
    checkpoint_steps: int | None = None
    """Steps between checkpoints, beside the time."""
    log_every: int = 10
    """Steps between lines of metrics, at which a loss that is no longer finite is noticed."""
    snapshots: tuple[float, ...] = ()
    """Shares of the steps after which the weights are kept in snapshots/, as for `gradpower noise`."""
    sharpness: bool = False
    """At every evaluation also measure the largest curvature that Adam's steps see, on 64 validation sequences; not
    with shard, as it takes whole weights."""
    trackers: tuple[str, ...] = ()
    """Also log to tensorboard, wandb or trackio, as far as they are installed."""
    cache: Path | None = None
    """Folder of tokenized text; $GRADPOWER_CACHE or ~/.cache/gradpower if not given."""

    def __post_init__(self) -> None:
        """Check every value, and that the device is there."""
        for name in ("micro_batch_size", "threads", "checkpoint_steps", "log_every"):
            value = getattr(self, name)
            if value is not None:
                whole(name, value)
        require((self.threads or 1) <= MOST_THREADS, "threads", self.threads, f"at most {MOST_THREADS}")
        real("checkpoint_minutes", self.checkpoint_minutes, gt=0)
        for share in self.snapshots:
            require(0 < share <= 1, "snapshots", share, "shares of the steps in (0, 1]")
        require(not (self.sharpness and self.shard), "sharpness", True, "False where shard is True")
        kind, _, index = self.device.partition(":")
        known = self.device in ("auto", "cpu", "cuda") or (kind == "cuda" and index.isdecimal())
        require(known, "device", self.device, "auto, cpu, cuda or cuda:N")
        if kind == "cuda":
            import torch

            there = torch.cuda.device_count() if torch.cuda.is_available() else 0
            allowed = f"cpu, or one of the {there} GPUs" if there else "cpu: there is no GPU here"
            require(int(index or 0) < there, "device", self.device, allowed)

    def rows_at_a_time(self, batch_size: int, ranks: int) -> int:
        """Return the sequences of a micro-batch on one rank; InputError if the batch does not divide.

        >>> Execution(micro_batch_size=4).rows_at_a_time(16, ranks=2)
        4
        """
        share = batch_size // ranks
        allowed = f"a multiple of the {ranks} ranks"
        require(batch_size % ranks == 0, "training.batch_size", batch_size, allowed)
        rows = self.micro_batch_size or share
        allowed = f"a multiple of micro_batch_size × ranks = {rows} × {ranks}"
        require(share % rows == 0, "training.batch_size", batch_size, allowed)
        return rows


def utilisation(recipe: Recipe, hardware: str, ranks: int, tokens_per_second: float) -> float | None:
    """Return the share of its GPUs' peak operations that training makes use of; None where the peak is not known.

    >>> from experiments.recipes.settings import TrainingSettings
    >>> recipe = Recipe("mine", training=TrainingSettings(precision="bfloat16"))
    >>> f"{utilisation(recipe, 'NVIDIA H100 80GB HBM3', ranks=1, tokens_per_second=1e6):.2f}"
    '0.31'
    """
    known = recipe.training.precision == "bfloat16"
    peaks = (flops for part, flops in PEAK_FLOPS.items() if known and f" {part} " in f" {hardware} ")
    peak = next(peaks, None)
    if peak is None:
        return None
    return training_flops(recipe.model, recipe.data.sequence_length) * tokens_per_second / (peak * ranks)

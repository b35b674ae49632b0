"""The settings of the optimizer in a recipe, and the checks that all settings share."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gradpower.tools.errors import real, require, whole

MODULES = ("norm", "vo", "ffn", "qk", "embedding", "head")  # Blockwise's
OWN_NOISE = ("own", "random-signs", "shuffled")
LARGEST_POWER = 100  # beyond, every gradient of a network is 0 or infinite in float32


def check_whole(section: str, settings: Any, **minima: int) -> None:
    """Check that some fields of a section are whole numbers of at least their minima."""
    for name, minimum in minima.items():
        whole(f"{section}.{name}", getattr(settings, name), minimum)


def as_floats(settings: Any) -> None:
    """Turn whole numbers in real fields into real ones: equal settings are to have equal fingerprints."""
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        if str(entry.type).startswith("float") and isinstance(value, int) and not isinstance(value, bool):
            object.__setattr__(settings, entry.name, float(value))


@dataclass(frozen=True)
class OptimizerSettings:
    """The optimizer on φ_p(g), its learning rate and schedule; the defaults are the paper's (Sections 3 and 5).

    p = 1 is the base optimizer, bit for bit: AdamW is `power=1`, Muon is `algorithm="muon", power=1`.

    Examples
    --------
    >>> f"{OptimizerSettings(power=1.2, match_epsilon=True).effective_epsilon:.3g}"
    '2.51e-10'
    """

    algorithm: Literal["adamw", "muon"] = "adamw"
    """AdamW, or Muon for the matrices and AdamW for the rest."""
    power: float = 1.0
    """The power p."""
    embedding_power: float | None = None
    """The power of the embedding, if it is not to be `power`."""
    head_power: float | None = None
    """The power of the head, if it is not to be `power`."""
    power_schedule: Literal["constant", "linear", "cosine", "wsd"] = "constant"
    """How p moves to `final_power`: over the whole run, or (wsd) while the learning rate decays."""
    power_start: float = 0.0
    """Share of the steps that is trained at p = 1 first: runs of one seed branch there; constant schedule only."""
    final_power: float = 1.0
    """The power at the end, unless the schedule is constant."""
    offset: float = 0.0
    """sign(g)·(|g| + offset)^p; 1e-8 in the authors' code."""
    learning_rate: float = 1e-3
    """lr_max."""
    schedule: Literal["cos", "wsd"] = "wsd"
    """After the warm-up: a half cosine, or stable and then a linear decay."""
    warmup_steps: int = 1000
    """Steps of linear warm-up."""
    decay_fraction: float = 0.2
    """Share of the steps in which wsd decays: 0.2 in the paper, 1/3 in the authors' code."""
    final_ratio: float = 0.1
    """lr_min/lr_max."""
    beta1: float = 0.9
    """Decay rate of Adam's first moment."""
    beta2: float = 0.95
    """Decay rate of Adam's second moment."""
    embedding_beta2: float | None = None
    """That of the embedding, if it is not to be `beta2`."""
    head_beta2: float | None = None
    """That of the head, if it is not to be `beta2`."""
    beta2_half_life: float | None = None
    """Half-life of Adam's second moment in tokens, which then decides β2 = 2^(−tokens of a step/half-life)."""
    momentum: float = 0.95
    """Muon's, with Nesterov."""
    epsilon: float = 1e-8
    """Adam's ε."""
    match_epsilon: bool = False
    """Use ε^p, which acts at the same |g| for every p."""
    weight_decay: float = 0.1
    """Decoupled weight decay."""
    clip_norm: float | None = 1.0
    """Largest norm of the gradient; none: no clipping."""
    clip_order: Literal["before", "after"] = "before"
    """Clip before or after the power."""
    module_rates: str = "uniform"
    """Learning rates by module: uniform, blockwise (its ratios), mols (MoLS-style factors, measured in the run), or
    ratios of one's own, as embedding:4,vo:2; modules: norm, vo, ffn, qk, embedding, head."""
    stretch_warmup: bool = True
    """Whether Blockwise's ratios lengthen the warm-up, as in the authors' code."""
    mols_share: float = 0.01
    """Share of the steps after which the MoLS-style factors are measured, from Adam's moments."""
    mols_every: int = 0
    """Steps after which they are measured again, and again; 0: never."""
    mols_exponent: float = 0.5
    """The factors are (SNR/reference)^(−exponent); 0 measures and changes nothing."""
    mols_limit: float = 10.0
    """Their largest, and one over their smallest."""
    added_noise: str | None = None
    """Noise that is added to every gradient before all else, for interventions: of a law (uniform, laplace, …), or that
    of the batch's first K sequences about the mean of all: own:K, random-signs:K (in each entry), shuffled:K (in each
    tensor)."""
    noise_level: float = 1.0
    """σ of a law's noise over the root mean square of each tensor's gradient; a factor of a batch's own noise."""
    moments: str = "batch"
    """Which gradients Adam's moments take, for interventions: those of the batch; first:K, those of its first K
    sequences alone; split:K, m that of the first K, and v the mean square over all parts of K."""

    def __post_init__(self) -> None:
        """Check every value."""
        as_floats(self)
        real("optimizer.epsilon", self.epsilon, gt=0)
        for name in ("power", "final_power", "embedding_power", "head_power"):
            if getattr(self, name) is not None:
                real(f"optimizer.{name}", getattr(self, name), gt=0, le=LARGEST_POWER)
        for name in ("offset", "learning_rate", "weight_decay", "noise_level"):
            real(f"optimizer.{name}", getattr(self, name), ge=0)
        check_whole("optimizer", self, warmup_steps=0, mols_every=0)
        real("optimizer.mols_exponent", self.mols_exponent, ge=0)
        real("optimizer.mols_limit", self.mols_limit, ge=1)
        known = self.module_rates in ("uniform", "blockwise", "mols") or self.own_ratios
        allowed = f"uniform, blockwise, mols, or NAME:RATIO,… with ratios > 0 of {', '.join(MODULES)}"
        require(known, "optimizer.module_rates", self.module_rates, allowed)
        if ratios := self.own_ratios:
            # Equal settings are to have equal fingerprints.
            text = ",".join(f"{name}:{ratios[name]:g}" for name in MODULES if name in ratios)
            object.__setattr__(self, "module_rates", text)
        for name in ("beta1", "beta2", "embedding_beta2", "head_beta2", "momentum"):
            if getattr(self, name) is not None:
                real(f"optimizer.{name}", getattr(self, name), ge=0, lt=1)
        real("optimizer.power_start", self.power_start, ge=0, lt=1)
        for name in ("decay_fraction", "mols_share", "final_ratio"):
            value = getattr(self, name)
            holds = 0 < value <= 1 or (name == "final_ratio" and value == 0)
            require(holds, f"optimizer.{name}", value, "a number in (0, 1]")
        for name in ("clip_norm", "beta2_half_life"):
            value = getattr(self, name)
            holds = value is None or (value > 0 and math.isfinite(value))
            require(holds, f"optimizer.{name}", value, "a number > 0, or none")
        self._check_pairs()

    def _check_pairs(self) -> None:
        """Check what concerns several values."""
        if self.added_noise is not None and self.own_noise is None:
            from theory.laws import parse_law  # slow to import: --help does without

            parse_law(self.added_noise)
        holds = self.moments == "batch" or self._can_split
        allowed = "batch; or, with adamw, one rate, clipping first and no added noise, first:K or split:K"
        require(holds, "optimizer.moments", self.moments, allowed)
        used = self.added_noise is not None or self.noise_level == 1
        require(used, "optimizer.noise_level", self.noise_level, "1 without optimizer.added_noise")
        plain = self.algorithm == "adamw" and self.power_schedule == "constant" and not self.match_epsilon
        for name in ("embedding_power", "head_power", "embedding_beta2", "head_beta2"):
            value = getattr(self, name)
            allowed = "none, but with adamw, a constant power and match_epsilon false"
            require(value is None or plain, f"optimizer.{name}", value, allowed)
        constant = self.power_schedule == "constant" or not self.match_epsilon
        require(constant, "optimizer.match_epsilon", True, "false with a power schedule: it would fix ε")
        fixed = self.power_start == 0 or (self.power_schedule == "constant" and not self.match_epsilon)
        allowed = "0, but with a constant power and match_epsilon false"
        require(fixed, "optimizer.power_start", self.power_start, allowed)
        # Below float32's normal numbers ε would be lost, and entries without a gradient be divided by zero.
        holds = self.effective_epsilon >= 2.0**-126
        require(holds, "optimizer.epsilon", self.epsilon, "one that, raised to p if matched, is >= 2^-126")
        holds = self.module_rates != "mols" or self.beta1 > 0
        require(holds, "optimizer.beta1", self.beta1, "a number > 0 with optimizer.module_rates mols")
        if self.algorithm == "muon":
            uniform = self.module_rates == "uniform"
            require(uniform, "optimizer.module_rates", self.module_rates, "uniform with muon")
            holds = self.clip_order == "before" or self.clip_norm is None
            require(holds, "optimizer.clip_order", self.clip_order, "before with muon")

    @property
    def _can_split(self) -> bool:
        usual = self.algorithm == "adamw" and self.module_rates == "uniform" and self.added_noise is None
        remember = 0.0 not in (self.beta2, self.embedding_beta2, self.head_beta2)
        simple = self.clip_order == "before" and self.beta2_half_life is None
        return usual and simple and remember and self.split_moments is not None

    @property
    def own_noise(self) -> tuple[str, int] | None:
        """The form of a batch's own noise and its K sequences, if `added_noise` is that; InputError without a K.

        >>> OptimizerSettings(added_noise="random-signs:2").own_noise
        ('random-signs', 2)
        """
        return _form_and_sequences("added_noise", self.added_noise, OWN_NOISE)

    @property
    def split_moments(self) -> tuple[str, int] | None:
        """The form of `moments` and its K sequences, unless they take the batch; InputError without a K."""
        return _form_and_sequences("moments", self.moments, ("first", "split"))

    @property
    def own_ratios(self) -> dict[str, float] | None:
        """The ratios that `module_rates` lists, of modules to the base rate; None if it lists none, or wrongly.

        >>> OptimizerSettings(module_rates="embedding:4.0,vo:0.5").own_ratios
        {'vo': 0.5, 'embedding': 4.0}
        """
        ratios: dict[str, float] = {}
        for part in self.module_rates.split(","):
            name, _, ratio = part.partition(":")
            if (
                name not in MODULES
                or name in ratios
                or not re.fullmatch(r"\d+(\.\d+)?", ratio)
                or not float(ratio)
            ):
                return None
            ratios[name] = float(ratio)
        return ratios

    @property
    def effective_epsilon(self) -> float:
        """ε as the optimizer gets it: ε, or ε^p."""
        return self.epsilon**self.power if self.match_epsilon else self.epsilon


def _form_and_sequences(name: str, value: str | None, forms: Sequence[str]) -> tuple[str, int] | None:
    form, _, sequences = (value or "").partition(":")
    if form not in forms:
        return None
    holds = sequences.isdecimal() and int(sequences) > 0
    require(holds, f"optimizer.{name}", value, f"{form}:K with a whole number K >= 1")
    return form, int(sequences)

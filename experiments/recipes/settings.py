"""What a training run is: frozen settings, checked when they are made, that alone decide its numbers.

`Recipe` holds all of them; its `fingerprint` names the run. How a run is executed (device, micro-batches, trackers;
see `experiments.training.execution`) is no part of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from experiments.recipes.optimizer_settings import OptimizerSettings, as_floats, check_whole
from gradpower.tools.errors import real, require

LARGEST_RATIO = 10  # of Blockwise's learning rates, the embedding's
# Settings that did not exist when the first runs were made, and what those runs did.
ADDED_LATER: dict[tuple[str, str], Any] = {
    ("optimizer", "stretch_warmup"): True,
    ("optimizer", "embedding_power"): None,
    ("optimizer", "head_power"): None,
    ("optimizer", "embedding_beta2"): None,
    ("optimizer", "head_beta2"): None,
    ("optimizer", "added_noise"): None,
    ("optimizer", "noise_level"): 1.0,
    ("optimizer", "moments"): "batch",
    ("optimizer", "mols_every"): 0,
    ("optimizer", "mols_exponent"): 0.5,
    ("optimizer", "mols_limit"): 10.0,
    ("optimizer", "power_start"): 0.0,
}


@dataclass(frozen=True)
class ModelSettings:
    """A transformer on random initial weights: transformers' LLaMA, or Qwen2-MoE, with an untied head (Section 5)."""

    family: Literal["llama", "qwen2-moe"] = "llama"
    """Which architecture."""
    width: int = 512
    """d_model, a multiple of twice the number of heads."""
    hidden: int = 2048
    """d_ff of the feed-forward, and of the shared expert."""
    heads: int = 8
    """Attention heads."""
    layers: int = 8
    """Transformer blocks."""
    vocabulary: int = 32100
    """Rows of the embedding and of the head; at least the tokenizer's."""
    experts: int = 0
    """Routed experts of qwen2-moe, each d_ff/4 wide; 0 for llama."""
    experts_per_token: int = 4
    """Experts that a token is routed to (qwen2-moe)."""
    balance_loss: float = 0.001
    """Factor of the auxiliary load-balancing loss (qwen2-moe)."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Implementation of attention."""

    def __post_init__(self) -> None:
        """Check every value."""
        as_floats(self)
        check_whole(
            "model", self, width=2, hidden=4, heads=1, layers=1, vocabulary=2, experts=0, experts_per_token=1
        )
        allowed = f"a multiple of 2·heads = {2 * self.heads}"
        require(self.width % (2 * self.heads) == 0, "model.width", self.width, allowed)
        real("model.balance_loss", self.balance_loss, ge=0)
        if self.family == "llama":
            require(self.experts == 0, "model.experts", self.experts, "0 for the family llama")
        else:
            allowed = f"at least model.experts_per_token = {self.experts_per_token}"
            require(self.experts >= self.experts_per_token, "model.experts", self.experts, allowed)
            # torch's grouped matrix product, which transformers uses for the experts, wants rows of 16 bytes.
            require(self.hidden % 16 == 0, "model.hidden", self.hidden, "a multiple of 16 for qwen2-moe")


@dataclass(frozen=True)
class DataSettings:
    """Text, its tokens, and how sequences are cut from them."""

    source: str = "python-source"
    """python-source; text:PATH[,PATH…] (.txt .xz .zst .gz .jsonl .parquet, or folders); c4; openwebtext;
    c4:FOLDER and openwebtext:FOLDER for local copies of their files."""
    tokenizer: str = "bpe:4096"
    """bpe:SIZE (trained on the text, byte level), t5, gpt2, or file:PATH of a tokenizer.json."""
    sequence_length: int = 256
    """Tokens that a sequence predicts when packed; unpacked, the tokens of a row."""
    packed: bool = True
    """Cut sequences from the joined documents; else one document a row, truncated or padded, padding without loss."""
    documents: Literal["blank-line", "file"] = "blank-line"
    """What a document is in a text file: a block between blank lines, or the file."""
    megabytes: float | None = None
    """Use only so much text (10⁶ bytes; python-source and text:)."""
    validation_source: str | None = None
    """Where the validation documents come from, as in `source`; held out from it if not given."""
    validation_share: float = 0.02
    """Share of the documents held out, chosen by the hash of their text."""
    validation_sequences: int = 256
    """Sequences in the fixed validation set, at most."""
    epochs: float = 1.0
    """How often a run may go through the data; one that needs more is refused, a stream when it has come to its end."""
    shuffle_window: int = 8192
    """Documents that are shuffled among each other when streaming (c4, openwebtext)."""

    def __post_init__(self) -> None:
        """Check every value; whether the text is there is seen when it is opened."""
        as_floats(self)
        check_whole("data", self, sequence_length=2, validation_sequences=2, shuffle_window=1)
        kind, _, rest = self.tokenizer.partition(":")
        learnt = rest.isdecimal() and 257 <= int(rest) < 2**31
        known = {"bpe": learnt, "t5": not rest, "gpt2": not rest, "file": rest}
        allowed = "bpe:SIZE with SIZE >= 257, t5, gpt2 or file:PATH"
        require(known.get(kind), "data.tokenizer", self.tokenizer, allowed)
        for name in ("source", "validation_source"):
            self._check_source(f"data.{name}", getattr(self, name))
        if self.megabytes is not None:
            real("data.megabytes", self.megabytes, gt=0)
        real("data.validation_share", self.validation_share, gt=0, lt=1)
        real("data.epochs", self.epochs, gt=0)

    def _check_source(self, name: str, value: str | None) -> None:
        kind, colon, rest = (value or "python-source").partition(":")
        hub = rest or not colon
        known = {"python-source": not colon, "text": rest, "c4": hub, "openwebtext": hub}
        allowed = "python-source, text:PATH[,PATH…], c4, openwebtext, c4:FOLDER or openwebtext:FOLDER"
        require(known.get(kind), name, value, allowed)

    @property
    def streamed(self) -> bool:
        """Whether the text is streamed in the hub's order (c4, openwebtext), not tokenized beforehand."""
        return self.source.partition(":")[0] in ("c4", "openwebtext")


@dataclass(frozen=True)
class TrainingSettings:
    """How long, on how much, and how exactly."""

    steps: int = 20_000
    """Optimizer steps."""
    batch_size: int = 512
    """Sequences in a step, over all ranks and micro-batches."""
    seed: int = 0
    """Of the initial weights and the order of the data: runs of one seed share both."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast, with weights and optimizer in float32."""
    evaluate_every: int = 0
    """Steps between evaluations; 0: ten in a run. There is always one at the end."""

    def __post_init__(self) -> None:
        """Check every value."""
        check_whole("training", self, steps=1, batch_size=1, seed=0, evaluate_every=0)
        require(self.seed < 2**63, "training.seed", self.seed, "a whole number < 2^63")

    @property
    def evaluation_steps(self) -> frozenset[int]:
        """Numbers of steps taken after which to evaluate."""
        every = self.evaluate_every or max(1, self.steps // 10)
        return frozenset({*range(every, self.steps, every), self.steps})


@dataclass(frozen=True)
class Recipe:
    """A whole training run.

    >>> Recipe("mine", training=TrainingSettings(steps=2000)).tokens
    262144000
    """

    name: str
    """What the run is called; no part of its fingerprint."""
    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        """Check what concerns several sections."""
        warmup, steps = self.optimizer.warmup_steps, self.training.steps
        allowed = f"less than training.steps = {steps}: a shorter run sets both"
        require(warmup < steps, "optimizer.warmup_steps", warmup, allowed)
        self._check_warmup()
        self._check_parts()
        require(self.beta2 < 1, "optimizer.beta2_half_life", self.optimizer.beta2_half_life, "fewer tokens")
        kind, _, size = self.data.tokenizer.partition(":")
        needed = {"bpe": int(size) if kind == "bpe" else 0, "t5": 32100, "gpt2": 50257}.get(kind, 0)
        allowed = f"at least {needed}, the size of data.tokenizer = {self.data.tokenizer}"
        require(self.model.vocabulary >= needed, "model.vocabulary", self.model.vocabulary, allowed)

    def _check_parts(self) -> None:
        """Refuse parts of a batch that it does not have, or of a mixture's, whose balance loss is of the whole."""
        sequences, optimizer = self.training.batch_size, self.optimizer
        own, split = optimizer.own_noise, optimizer.split_moments
        holds = own is None or (own[1] < sequences and not self.model.experts)
        allowed = f"fewer sequences than training.batch_size = {sequences}, and no mixture"
        require(holds, "optimizer.added_noise", optimizer.added_noise, allowed)
        holds = split is None or (
            split[1] < sequences and sequences % split[1] == 0 and not self.model.experts
        )
        allowed = f"K a proper divisor of training.batch_size = {sequences}, and no mixture"
        require(holds, "optimizer.moments", optimizer.moments, allowed)

    def _check_warmup(self) -> None:
        """Refuse a Blockwise warm-up that would run into the decay."""
        settings, steps = self.optimizer, self.training.steps
        if settings.module_rates != "blockwise" or not settings.stretch_warmup:
            return
        longest = settings.warmup_steps * LARGEST_RATIO
        wsd = settings.schedule == "wsd"
        room = round(steps * (1 - settings.decay_fraction)) if wsd else steps - 1
        allowed = (
            f"at most {int(room / LARGEST_RATIO)}, so that {LARGEST_RATIO} times as many, Blockwise's longest, end "
            "before the decay; or optimizer.stretch_warmup false"
        )
        require(longest <= room, "optimizer.warmup_steps", settings.warmup_steps, allowed)

    @property
    def tokens_per_step(self) -> int:
        """Tokens in a batch (padding included when unpacked)."""
        return self.training.batch_size * self.data.sequence_length

    @property
    def tokens(self) -> int:
        """Tokens in the whole run."""
        return self.tokens_per_step * self.training.steps

    @property
    def beta2(self) -> float:
        """β2 by value, or from its half-life in tokens."""
        half_life = self.optimizer.beta2_half_life
        return self.optimizer.beta2 if half_life is None else 0.5 ** (self.tokens_per_step / half_life)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of all settings but the name: equal for equal runs."""
        settings = without_later(dataclasses.asdict(self))
        del settings["name"]
        return digest(settings)


def without_later(settings: dict[str, Any], known: Sequence[str] = ()) -> dict[str, Any]:
    """Leave out what was added later and is as before, but for names that were known: fingerprints go on as they were.

    `settings` are those of a recipe, and are changed.
    """
    for (section, name), value in ADDED_LATER.items():
        if name not in known and settings[section][name] == value:
            del settings[section][name]
    return settings


def digest(content: dict[str, Any]) -> str:
    """Return twelve hexadecimal digits of the SHA-256 of plain data."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]

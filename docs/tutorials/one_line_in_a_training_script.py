# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One line in a training script
#
# The library replaces an optimizer, and nothing else. This tutorial trains a small LLaMA in a plain PyTorch loop, with
# AdamW and with AdamWPower at $p = 1.2$. Then it looks at three things: the losses, the noise of the gradients by
# module, and the size of the updates.
#
# The text is the Python source on your own machine, so that nothing is downloaded. Your numbers will therefore differ
# from those of others. PyTorch is needed (`make install`); the runs take three or four minutes on one core.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import cross_entropy

from experiments.corpora import open_data
from experiments.recipes.settings import DataSettings, ModelSettings
from experiments.statistics import mean_over_seeds
from experiments.training.models import build_model
from gradpower import AdamWPower, SNRMeter, UpdateMeter, modules_by_pattern

SMALL = "GRADPOWER_SMALL" in os.environ  # set by the tests: fewer steps
steps, warmup, seeds = (8, 2, (0, 1)) if SMALL else (400, 40, (0, 1, 2))
torch.set_num_threads(1)

# %% [markdown]
# ## Data and model
#
# `open_data` reads two megabytes of source and learns a tokenizer of 512 tokens on them; the next call finds both in a
# cache. `build_model` makes the LLaMA of `transformers` on random initial weights. The seed decides the weights and the
# order of the data. So runs of one seed differ in nothing but the optimizer: they are *paired*.

# %%
text = DataSettings(
    tokenizer="bpe:512",
    sequence_length=64,
    megabytes=0.5 if SMALL else 2.0,
    validation_share=0.1,
    validation_sequences=32 if SMALL else 256,
)
size = ModelSettings(width=48, hidden=192, heads=4, layers=2, vocabulary=512)
batch_size = 4


def setup(seed):
    """Return the data and the model of a seed."""
    data = open_data(text, seed=seed, sequences=batch_size * steps, vocabulary=size.vocabulary)
    return data, build_model(size, seed=seed, length=text.sequence_length)


def loss_on(model, batch):
    """Return the mean cross-entropy in nats a token."""
    logits = model(batch.inputs).logits
    return cross_entropy(logits.flatten(0, 1), batch.targets.flatten())


data, model = setup(seed=0)
parameters = sum(p.numel() for p in model.parameters())
print(
    f"{parameters} parameters, {data.available} sequences to train on, {len(data.validation.inputs)} held out"
)

# %% [markdown]
# ## The loop
#
# This is an ordinary training loop. The one line is the optimizer: `AdamWPower` takes the arguments of
# `torch.optim.AdamW`, and `power`. At `power=1.0` it *is* AdamW, bit for bit; the first cell after the loop checks
# that.
#
# We put the parameters into three named groups, so that the meters can tell them apart. `UpdateMeter` observes an
# optimizer without changing it. It opens after the warm-up.

# %%
patterns = {"embedding": "embed_tokens", "head": "lm_head", "layers": "."}


def train(make_optimizer, seed, rate=3e-3):
    """Train one model; return it with its training losses, its validation loss and its update sizes."""
    data, model = setup(seed)
    groups = [{"params": own, "name": name} for name, own in modules_by_pattern(model, patterns).items()]
    optimizer = make_optimizer(groups, lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / (steps - warmup))
    )
    losses, meter = [], None
    for step in range(steps):
        if step == warmup:
            meter = UpdateMeter(optimizer)
        loss = loss_on(model, data.next_batch(batch_size))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # the raw gradient: the power comes later
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    meter.close()
    with torch.no_grad():
        validation = loss_on(model, data.validation).item()
    return model, losses, validation, meter.sizes()


def powered_adamw(power):
    """Return what makes the optimizer."""
    return lambda groups, lr: AdamWPower(groups, lr=lr, betas=(0.9, 0.95), weight_decay=0.1, power=power)


runs = {(power, seed): train(powered_adamw(power), seed) for power in (1.0, 1.2) for seed in seeds}

# %%
same = train(
    lambda groups, lr: torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), weight_decay=0.1), seeds[0]
)
identical = same[1] == runs[1.0, seeds[0]][1]
print("AdamWPower at p = 1 has exactly AdamW's losses:", identical)

# %% [markdown]
# ## The losses
#
# On the left: training losses of the first seed, averaged over windows of steps. On the right: the validation loss at
# $p = 1.2$ less that at $p = 1$, one mark a seed. Below 0 the power helps.

# %%
validation = {key: run[2] for key, run in runs.items()}
differences = np.array([validation[1.2, seed] - validation[1.0, seed] for seed in seeds])

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3), layout="constrained")
window = max(1, steps // 20)
for power in (1.0, 1.2):
    smooth = np.convolve(runs[power, seeds[0]][1], np.ones(window) / window, "valid")
    left.plot(np.arange(window, steps + 1), smooth, label=f"p = {power:g}")
left.set(xlabel="step", ylabel=f"training loss, mean of {window} steps")
left.legend()
right.axhline(0, color="black", linewidth=0.6)
right.plot([str(seed) for seed in seeds], differences, "o")
right.set(xlabel="seed", ylabel="validation loss, p = 1.2 less p = 1")
for axis in (left, right):
    axis.grid(alpha=0.25)
plt.show()

# %%
for seed, difference in zip(seeds, differences, strict=True):
    pair = ", ".join(f"p = {power:g}: {validation[power, seed]:.4f}" for power in (1.0, 1.2))
    print(f"seed {seed}: {pair}, difference {difference:+.4f}")
levels = [validation[1.0, seed] for seed in seeds]
summary = mean_over_seeds(differences)
print(f"spread of p = 1 over seeds: {np.std(levels, ddof=1):.4f}")
print(f"mean difference {summary.mean:+.4f}, 95 % interval [{summary.low:+.4f}, {summary.high:+.4f}]")

# %% [markdown]
# **What so few seeds can say.** Student's interval for three pairs is the mean ± 4.3 standard errors, for two pairs ±
# 12.7. If it holds 0, these runs do not tell whether the power helps. If it does not, the difference belongs to this
# model, this text, this learning rate and this number of steps. It says nothing of other sizes, and not that $p = 1.2$
# beats a better learning rate at $p = 1$. *A study of your own* shows how to ask that properly.
#
# A loss at $p = 1.2$ here does not contradict our studies, and a gain would not confirm them. They trained five times
# as long, on other text, at several learning rates and with eight seeds.
#
# Pairing matters. Compare the differences with the spread of the losses over seeds: without pairs that spread would
# be in every comparison.
#
# ## The noise of the gradients
#
# A power changes what Adam makes of noise, so how noisy are the gradients? `SNRMeter` takes the gradients of
# independent micro-batches at fixed weights. It estimates signal, the squared norm of the mean, and noise, the total
# variance. We print the noise over the signal for one batch, with its 95 % interval.

# %%
model = runs[1.0, seeds[0]][0]
fresh = open_data(text, seed=1000, sequences=1, vocabulary=size.vocabulary)  # another order of the same text
meter = SNRMeter(modules_by_pattern(model, patterns))
for _ in range(8 if SMALL else 128):
    model.zero_grad()
    loss_on(model, fresh.next_batch(batch_size)).backward()
    meter.update()
snrs = meter.snrs()
for name, snr in snrs.items():
    low, high = snr.interval()
    shown = f"{1 / snr.snr:5.2f}" if snr.snr else "  not seen"
    upper = f"{1 / low:.2f}" if low else "∞"
    print(f"{name:9} noise/signal {shown}, interval [{1 / high:.2f}, {upper}]")

# %% [markdown]
# A ratio above 1 means that the gradient of one batch is mostly noise. The ratio is over all coordinates of a module;
# that of a single coordinate is often much larger. For the *shape* of the noise, and the power that the gradients call
# for, run `gradpower noise` on a run made by `gradpower train`.
#
# ## The size of the updates
#
# A power also changes how large Adam's updates are. A comparison at equal learning rates mixes the two. `UpdateMeter`
# tells the root mean square of the updates, without the learning rate.

# %%
print("RMS of the updates of seed", seeds[0])
for name in patterns:
    plain, power = (runs[p, seeds[0]][3][name].rms for p in (1.0, 1.2))
    print(
        f"{name:9} p = 1: {plain.value:.4f} ± {plain.standard_error:.4f}, "
        f"p = 1.2: {power.value:.4f} ± {power.standard_error:.4f}, ratio {power.value / plain.value:.3f}"
    )

# %% [markdown]
# So at equal learning rates the steps of $p = 1.2$ differ in length from those of $p = 1$. A fair second comparison
# gives them the same length. We divide the learning rate of $p = 1.2$ by the ratio over all parameters, and run the
# same seeds again.


# %%
def total_rms(sizes):
    """Return the root mean square over all parameters."""
    counts = {name: sum(p.numel() for p in own) for name, own in modules_by_pattern(model, patterns).items()}
    return np.sqrt(sum(counts[name] * sizes[name].rms.value ** 2 for name in counts) / sum(counts.values()))


ratio = np.mean([total_rms(runs[1.2, seed][3]) / total_rms(runs[1.0, seed][3]) for seed in seeds])
matched = {seed: train(powered_adamw(1.2), seed, rate=3e-3 / ratio) for seed in seeds}
matched_differences = np.array([matched[seed][2] - validation[1.0, seed] for seed in seeds])
matched_summary = mean_over_seeds(matched_differences)
print(f"ratio of the updates {ratio:.3f}")
for label, each in (("at equal rates", summary), ("at equal update sizes", matched_summary)):
    print(f"{label}: {each.mean:+.4f}, 95 % interval [{each.low:+.4f}, {each.high:+.4f}]")

# %% [markdown]
# If the two lines differ by more than their intervals, the update size was part of the effect. Otherwise these runs do
# not tell.
#
# ## In your own script
#
# - `AdamWPower`, `AdamPower`, `MuonPower` and others take `power`; `powered(Base)` adds it to any optimizer class.
# - `power` is an entry of each parameter group. Our own studies found the gain in the head, so try
#   `[{"params": head, "power": 1.2}, {"params": others}]` and `power=1.0`.
# - Clip before the optimizer's step, as above, or in it: `clip=clip_then_power(1.0)`.
# - The guide *Choosing p* says what to tune first. In short: the learning rate, then β2, then the power.

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
# # A study of your own
#
# Does $p = 1.2$ lower the loss? One run with it and one without answer nothing: two runs with different seeds also
# differ. A *study* is many runs, and a rule by which they are judged. You write both down in a file before the first
# run. This tutorial goes from that file to the verdict.
#
# PyTorch is needed (`make install`). The study trains very small models on the Python source of your own machine; all
# of it takes three or four minutes on one core. What it finds holds for such short runs only.

# %%
# %matplotlib inline
import os
import subprocess
import sys
from pathlib import Path

from experiments.sweeps.judge import judged
from experiments.sweeps.store import read_outcome
from experiments.sweeps.studies import read_study
from figures.training import sweep_losses

SMALL = "GRADPOWER_SMALL" in os.environ  # set by the tests: fewer and shorter runs
steps, seeds, powers = (6, [0, 1], [1.0, 1.25]) if SMALL else (200, [0, 1, 2, 3], [0.8, 1.0, 1.25])
rates = [2e-3, 2.8e-3]


def gradpower(*words, check=True):
    """Run a command as in a terminal, and show what it prints."""
    plain = {"FORCE_COLOR": "", "NO_COLOR": "1", "COLUMNS": "100"}
    command = [sys.executable, "-m", "gradpower", *words]
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, env=os.environ | plain, **both)
    print(done.stdout)
    if check:
        done.check_returncode()
    return done.returncode


# %% [markdown]
# ## The file
#
# A study file has four parts:
#
# - a **recipe** with changes in `[fields]`, which hold in every run;
# - **axes**: every value of an axis is combined with every value of the others;
# - **seeds**: every combination is run with each of them;
# - the **rule**.
#
# Ours compares powers. Each is run at two learning rates, since the best rate may depend on the power.

# %%
folder = Path("runs")
folder.mkdir(exist_ok=True)
file = folder / "my-powers.toml"
file.write_text(
    f"""
name = "my-powers"
recipe = "pocket-small"      # a LLaMA of 0.12M parameters
seeds = {seeds}

[fields]
"training.steps" = {steps}
"training.batch_size" = 4
"training.evaluate_every" = {steps}   # at the end only
"optimizer.warmup_steps" = {steps // 10}
"data.sequence_length" = 64
"data.megabytes" = {0.5 if SMALL else 2.0}
"data.validation_share" = 0.1
"data.validation_sequences" = {32 if SMALL else 256}

[[axes]]
"optimizer.power" = {powers}

[[axes]]
"optimizer.learning_rate" = {rates}

[rule]
compared = "optimizer.power"
baseline = 1.0
learning_rate = "averaged"   # compare the means over the rates
alpha = 0.05
smallest_effect = 0.01       # nats a token: less is of no interest
""",
    encoding="utf-8",
)
study = read_study(file)
print(len(study.arms()), "runs; rule:", study.rule)

# %% [markdown]
# **Paired seeds.** A seed decides the initial weights and the order of the data. So two arms of one seed differ only in
# what the axes say. The rule looks at differences within seeds, and the luck that both arms share drops out.
#
# **The rule before the runs.** Afterwards it is easy to find a reason for any choice: this rate, that measure, one
# more seed. Each look is another chance to be fooled. A rule written first allows one look. Ours compares the loss,
# averaged over the rates, of each power with that of 1, by Student's t test over seeds. The chance of any false effect
# at all is 5 %; Holm's correction for the number of comparisons sees to that. An effect below 0.01 nats is not called
# one.
#
# ## A dry run
#
# `--dry-run` lists the runs and writes nothing. It is the moment to find a mistake in the file.

# %%
code = gradpower("sweep", str(file), "--dry-run")

# %% [markdown]
# ## The runs
#
# Now the study. It may be interrupted and started again at any time: what is done is skipped. `gradpower status FILE`
# shows where it is, and `--workers 2` trains two arms at once. At the end the outcome is judged by the rule.

# %%
code = gradpower("sweep", str(file), "--threads", "1")

# %% [markdown]
# The first line of the verdict has the label. **Difference shown**: at least one power ends lower or higher than 1 by
# the rule. **Equal**: all are within the smallest effect, and that is shown too. **Undecided**: neither; more seeds
# would be needed. An undecided study does not say that the powers are equal.
#
# The intervals in the table are Student's for one comparison each. The decision goes by the p-value in the last column,
# which is adjusted for all comparisons. So an interval may exclude 0 while the decision is undecided.
#
# ## The rule holds
#
# What happens if we now make the rule laxer?

# %%
laxer = folder / "laxer.toml"
laxer.write_text(file.read_text(encoding="utf-8").replace("alpha = 0.05", "alpha = 0.2"), encoding="utf-8")
code = gradpower("sweep", str(laxer), check=False)
print("exit code", code)

# %% [markdown]
# It is refused, since a run has its loss. More seeds may be added, and the verdict then says that they came late.
#
# ## The verdict in Python, and its picture
#
# `gradpower analyse` judges again at any time, and `gradpower figure sweep-losses` draws. In Python:

# %%
outcome = read_outcome(folder / "my-powers")
analysis = judged(outcome)
print("label:", analysis.label)
for comparison in analysis.comparisons:
    difference = comparison.difference
    by_seed = ", ".join(f"{value:+.4f}" for value in comparison.differences)
    print(
        f"p = {comparison.value:g}: by seed {by_seed}; mean {difference.mean:+.4f} "
        f"[{difference.low:+.4f}, {difference.high:+.4f}], adjusted p-value {comparison.adjusted:.3f}: "
        f"{comparison.decision}"
    )
sweep_losses.draw(analysis)

# %% [markdown]
# The picture shows the loss less the baseline's, against the power. Thin lines are seeds. Round marks are their means,
# with Student's intervals. The grey band is the spread of the baseline itself over seeds. An interval that holds 0
# shows no difference. Where the thin lines agree more closely than the band is wide, pairing was worth it.
#
# ## The losses behind it
#
# The rule averages over the rates. It is wise to look at the losses at each rate as well.

# %%
print("mean loss    " + "".join(f"p = {power:<7g}" for power in powers))
for rate in rates:
    losses = {power: [] for power in powers}
    for arm in outcome.arms:
        if arm.values["optimizer.learning_rate"] == rate:
            losses[arm.values["optimizer.power"]].append(arm.loss)
    print(f"rate {rate:<8g}" + "".join(f"{sum(own) / len(own):<11.4f}" for own in losses.values()))

# %% [markdown]
# If the loss falls clearly from one rate to the other for every power, the rates are on one side of the best. Then
# whatever makes the updates larger wins at the low side, and loses at the high side. That is an effect of the rate.
#
# ## How to read your own
#
# - **Short runs are special.** Here the runs end soon after the warm-up. Whatever a power does later, they cannot show
#   it.
# - **A best value at the edge** of the axis says only that the best may lie beyond.
# - **Rates.** If one power prefers another rate, two rates may not be enough. Add a rate on either side, in a new
#   study.
# - **Results that disappoint stay.** The studies of this repository are in `results`, each with its design, which came
#   before the runs.

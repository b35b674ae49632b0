"""The table of commands."""

from typing import NamedTuple


class Command(NamedTuple):
    """Where a command lives, and what the overview says about it.

    A `prepared` command's function takes the flags, and returns the command and the flags left for it: its defaults
    depend on what is asked for. Where `often` names flags, --help shows only these, and --help-all all.
    """

    function: str  # as module:name
    help: str
    example: str
    prepared: bool = False
    often: tuple[str, ...] = ()


COMMANDS = {
    "reproduce": Command(
        "figures.commands:reproduce",
        "Figure 7, the optimal powers, a phase diagram and the claims of Section 4",
        "gradpower reproduce",
    ),
    "convergence": Command(
        "figures.convergence_commands:convergence",
        "six questions about the convergence theorems, answered by simulation",
        "gradpower convergence",
    ),
    "step-time": Command(
        "experiments.training.step_time_commands:step_time",
        "what the power costs: AdamWPower's step against torch's AdamW on this machine",
        "gradpower step-time --size 1M 10M",
    ),
    "recipes": Command(
        "experiments.training.commands:recipes",
        "the pre-training recipes: the paper's, and smaller ones",
        "gradpower recipes",
    ),
    "train": Command(
        "experiments.training.commands:train",
        "pre-train by a recipe; killed at any moment, it goes on from its last checkpoint",
        "gradpower train pocket --power 1.2",
        prepared=True,
        often=(
            *("--output", "--json", "--device", "--micro-batch-size", "--threads", "--trackers", "--cache"),
            *("--data.source", "--data.megabytes", "--optimizer.algorithm", "--optimizer.power"),
            *("--optimizer.learning-rate", "--optimizer.warmup-steps", "--optimizer.beta2"),
            *("--training.steps", "--training.batch-size", "--training.seed"),
        ),
    ),
    "sweep": Command(
        "experiments.sweeps.commands:sweep",
        "run every arm of a study, on many processes or machines, and judge it by its declared rule",
        "gradpower sweep example --workers 2",
    ),
    "status": Command(
        "experiments.sweeps.commands:status",
        "where the arms of a study are",
        "gradpower status example",
    ),
    "analyse": Command(
        "experiments.sweeps.commands:analyse",
        "judge a study by its declared rule: which powers are better, and how the best one moves",
        "gradpower analyse runs/example",
    ),
    "noise": Command(
        "experiments.noise.commands:noise",
        "predict the best power at a checkpoint from its gradient noise, by module",
        "gradpower noise pocket --batch-sizes 8 32 128",
    ),
    "figure": Command(
        "figures.commands:figure",
        "draw any figure, with its data beside it; without a name, list them all",
        "gradpower figure 7 --law uniform gaussian laplace",
    ),
    "explore": Command(
        "figures.explorer.commands:explore",
        "one page to play with the noise model and to look at the studies",
        "gradpower explore",
    ),
    "report": Command(
        "figures.commands:report",
        "write paper_repro.md from result files",
        "gradpower report",
    ),
    "theory check": Command(
        "theory.claims.commands:check",
        "check every claim: symbolically, numerically and in ball arithmetic",
        "gradpower theory check --json",
    ),
    "theory update": Command(
        "theory.adam.commands:update",
        "the exact expected update of Adam on powered gradients",
        "gradpower theory update --power 1.2 --noise-to-signal 10 --json",
    ),
    "theory noise-equivalent": Command(
        "theory.adam.commands:noise_equivalent",
        "how much less noise a power is worth, at a tuned learning rate",
        "gradpower theory noise-equivalent --law laplace --power 1.2",
    ),
    "theory noise-bias": Command(
        "theory.adam.commands:noise_bias",
        "Adam's bias under skewed noise, and the power that takes it away",
        "gradpower theory noise-bias --law two-point:0.03 --power 1.2",
    ),
    "theory optimal-power": Command(
        "simulate.adam.commands:optimal_power",
        "the power with the largest expected update, by four methods",
        "gradpower theory optimal-power --noise-to-signal 10 --method exact",
    ),
    "theory bound": Command(
        "theory.adagrad.commands:bound",
        "a convergence bound of Section 4.2, term by term",
        "gradpower theory bound --theorem 4.8 --power 0.5 --alignment 0.99",
    ),
    "theory assumptions": Command(
        "theory.adagrad.commands:assumptions",
        "the best constants of Assumptions 4.6 and 4.9 for a noise law",
        "gradpower theory assumptions --law binary --power 0.5 1.2 3",
    ),
    "theory measured-assumptions": Command(
        "theory.measured.commands:measured_assumptions",
        "the constants of Assumptions 4.6 and 4.9 from measured stochastic gradients",
        "gradpower theory measured-assumptions --samples gradients.npy",
    ),
    "simulate adam": Command(
        "simulate.adam.commands:adam",
        "Monte Carlo of Adam on powered gradients",
        "gradpower simulate adam --power 1.2 --noise-to-signal 10 --seed 1",
    ),
    "simulate adagrad": Command(
        "simulate.adagrad.commands:adagrad",
        "Adagrad on powered gradients of test problems, against the convergence theorems",
        "gradpower simulate adagrad --problem separable:64 --power 1 1.5",
    ),
    "simulate intervention": Command(
        "simulate.intervention.commands:intervention",
        "set the law of the noise and see what a power does, against what the theory says",
        "gradpower simulate intervention --laws uniform laplace --levels 8",
    ),
}

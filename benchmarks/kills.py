"""Kill training at random moments, 100 times and more, and see that what goes on is the unbroken run bit for bit.

    python benchmarks/kills.py [--kills 25] [--seed 0] [--kinds text stream ranks sweep]

Of each kind (a run on text, one on a stream, one on two ranks and a study) an unbroken run is made; others are killed
with SIGKILL, started again by the same command, killed again, until they are done. Their losses, and the weights of
their last checkpoints, must be the same to the bit. It takes about 15 minutes, and exits with 1 if a run differs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from experiments.corpora.documents import documents, text_files
from experiments.training.checkpoints import checkpoints, load_checkpoint, tensors_digest
from experiments.training.records import read_metrics

ROOT = Path(__file__).parents[1]
FIELDS = {
    "model.width": 16,
    "model.hidden": 32,
    "model.heads": 2,
    "model.layers": 2,
    "model.vocabulary": 300,
    "data.source": "python-source",
    "data.megabytes": 0.5,
    "data.tokenizer": "bpe:300",
    "data.sequence_length": 32,
    "data.validation_sequences": 12,
    "data.epochs": 9.0,
    "optimizer.power": 1.2,
    "optimizer.warmup_steps": 20,
    "training.batch_size": 8,
    "training.steps": 300,
    "training.evaluate_every": 100,
}
EXECUTION = ["--device", "cpu", "--threads", "1", "--log-every", "1", "--checkpoint-steps", "40"]
TWO_RANKS = ["torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m"]


def commands(place: Path) -> dict[str, list[str]]:
    """Return the command of each kind, without its --output."""
    train = ["gradpower", "train", "pocket", *EXECUTION, "--cache", str(place / "cache")]
    stream = FIELDS | {"data.source": f"c4:{place}", "data.tokenizer": f"file:{place / 'tokenizer.json'}"}
    study = ['name = "kills"', 'recipe = "pocket"', "seeds = [0, 1]", "[fields]"]
    study += [f'"{name}" = {json.dumps(value)}' for name, value in FIELDS.items()]
    study += ["[[axes]]", '"optimizer.power" = [1.0, 1.3]', "[rule]"]
    study += ['compared = "optimizer.power"', "baseline = 1.0"]
    (place / "study.toml").write_text("\n".join(study).replace('"optimizer.power" = 1.2\n', ""))
    return {
        "text": train + flags(FIELDS),
        "stream": train + flags({name: value for name, value in stream.items() if name != "data.megabytes"}),
        "ranks": [*TWO_RANKS, *train, *flags(FIELDS)],
        "sweep": [
            "gradpower",
            "sweep",
            str(place / "study.toml"),
            *EXECUTION,
            "--cache",
            str(place / "cache"),
        ],
    }


def flags(fields: dict[str, object]) -> list[str]:
    """Return recipe fields as flags."""
    return [word for name, value in fields.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def write_stream(place: Path) -> None:
    """Write copies of C4's files, of the text that the other kinds train on."""
    texts = documents(text_files("python-source", megabytes=0.5))
    names = cycle(
        f"c4-{split}.{i:05d}-of-01024.json.gz" for split, i in (("train", 0), ("train", 1), ("validation", 0))
    )
    files: dict[str, list[str]] = {}
    for name, text in zip(names, texts, strict=False):
        files.setdefault(name, []).append(json.dumps({"text": text}) + "\n")
    for name, rows in files.items():
        (place / name).write_bytes(gzip.compress("".join(rows).encode()))


def start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own, which can be killed whole."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}
    # The arms of a study lie beside its folder.
    words = [sys.executable, "-m", *command, "--output", str(folder / "run")]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(words, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)


def trace(folder: Path) -> Iterator[tuple[object, ...]]:
    """Yield all that must be the same: of every run in the folder its losses, and its last weights."""
    for path in sorted(folder.rglob("metrics.jsonl")):
        run = path.parent
        step, weights, _ = load_checkpoint(checkpoints(run / "checkpoints")[-1])
        losses = [(row["step"], row.get("loss"), row.get("validation_loss")) for row in read_metrics(run)]
        yield step, tensors_digest(weights), losses


def written(folder: Path) -> int:
    """Return how many bytes of metrics there are."""
    return sum(path.stat().st_size for path in folder.rglob("metrics.jsonl"))


def killed_until_done(command: list[str], folder: Path, rng: random.Random, most: int) -> int:
    """Start a command again and again, killing it at most so often; return how often it was killed."""
    kills = 0
    while True:
        process, before = start(command, folder), written(folder)
        if kills < most:
            while process.poll() is None and written(folder) == before:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 1))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        if code == 0:
            return kills
        if code != -signal.SIGKILL:
            raise SystemExit(f"exit code {code} of {' '.join(command)} in {folder}")
        kills += 1


def main() -> int:
    """Kill the kinds that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=25, help="of each kind, at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=["text", "stream", "ranks", "sweep"])
    asked = parser.parse_args()
    rng, differ = random.Random(asked.seed), 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_stream(place)
        kinds = commands(place)
        start(kinds["text"], place / "first").wait()  # makes the tokens, and the tokenizer of the stream
        shutil.copy(next((place / "cache").rglob("tokenizer.json")), place)
        for kind in asked.kinds:
            whole, kills, runs = place / f"{kind}-whole", 0, 0
            if start(kinds[kind], whole).wait() != 0:
                raise SystemExit(f"{kind}: the unbroken run failed")
            expected = list(trace(whole))
            while kills < asked.kills:
                folder = place / f"{kind}-{runs}"
                kills += killed_until_done(kinds[kind], folder, rng, asked.kills - kills)
                runs += 1
                differ += list(trace(folder)) != expected
                print(f"{kind}: {kills} kills in {runs} runs, {differ} runs differ", flush=True)
                shutil.rmtree(folder)
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())

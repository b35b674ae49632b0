"""Training: against a plain loop, interrupted at any moment, diverged, and refused."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from experiments.corpora import open_data
from experiments.noise.source import find_source
from experiments.training.checkpoints import checkpoints, load_checkpoint, load_latest, tensors_digest
from experiments.training.execution import Execution
from experiments.training.loop import train
from experiments.training.models import build_model
from experiments.training.records import read_metrics, read_result
from experiments.training.signals import Interruption
from gradpower.tools.errors import InputError
from tests.experiments.texts import after, small_recipe, untimed, write_text
from tests.experiments.workers.nursery import Child

pytestmark = pytest.mark.slow


def final_weights(folder: Path) -> str:
    found, complaints = load_latest(folder / "checkpoints")
    assert complaints == []
    return tensors_digest(found[1])


def assert_same_run(first: Path, second: Path) -> None:
    """Same weights, same metrics, same evaluations, bit for bit."""
    assert final_weights(first) == final_weights(second)
    assert untimed(first) == untimed(second)
    a, b = read_result(first), read_result(second)
    for part in ("status", "final", "evaluations", "module_scales", "fingerprint", "data", "model"):
        assert getattr(a, part) == getattr(b, part)


@pytest.fixture(scope="module", params=["pocket", "pocket-moe"])
def unbroken(request, text, here, tmp_path_factory):
    made = small_recipe(text, request.param, optimizer__power=1.2)
    folder = tmp_path_factory.mktemp("unbroken")
    assert train(made, folder, execution=here).status == "completed"
    return made, folder


def test_a_plain_loop_finds_the_same_losses(text, here, tmp_path):
    made = small_recipe(text)
    outcome = train(made, tmp_path, execution=here)
    data = open_data(made.data, seed=0, sequences=24 * 8, vocabulary=300, cache=here.cache)
    model = build_model(made.model, seed=0, length=32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    losses = []
    for step in range(24):
        top = 6e-3
        stable = 19  # round(0.8·24)
        rate = top * step / 4 if step <= 4 else top if step <= stable else top * (0.1 + 0.9 * (24 - step) / 5)
        optimizer.param_groups[0]["lr"] = rate
        batch = data.next_batch(8)
        logits = model(input_ids=batch.inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    measured = [row["loss"] for row in read_metrics(tmp_path) if "loss" in row]
    assert measured == pytest.approx(losses, rel=1e-5)
    with torch.no_grad():
        validation = data.validation
        logits = model(input_ids=validation.inputs).logits
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), validation.targets.flatten())
    assert outcome.result.final.validation_loss == pytest.approx(float(expected), rel=1e-5)


def test_a_model_learns(unbroken):
    _, folder = unbroken
    losses = [row["loss"] for row in read_metrics(folder) if "loss" in row]
    assert losses[-1] < losses[0] - 0.3


def test_snapshots_are_kept_and_change_nothing(unbroken, here, tmp_path):
    made, folder = unbroken
    snapping = replace(here, snapshots=(0.01, 0.5, 1.0), checkpoint_steps=2)
    outcome = train(made, tmp_path, execution=snapping)
    assert outcome.result.evaluations == read_result(folder).evaluations
    assert [path.name for path in checkpoints(tmp_path / "snapshots")] == [
        "step-00000001",
        "step-00000012",
        "step-00000024",
    ]
    assert len(checkpoints(tmp_path / "checkpoints")) == 2
    _, last, _ = load_checkpoint(checkpoints(folder / "checkpoints")[-1])
    _, kept, _ = load_checkpoint(tmp_path / "snapshots" / "step-00000024")
    assert tensors_digest(kept) == tensors_digest(last)
    middle = find_source(str(tmp_path / "snapshots" / "step-00000012"))
    assert middle.step == 12
    assert tensors_digest(middle.model().state_dict()) != tensors_digest(last)


def test_what_a_result_says(unbroken):
    made, folder = unbroken
    result = json.loads((folder / "result.json").read_text())
    assert result["schema"] == {"name": "gradpower/run", "version": 1}
    assert result["fingerprint"] == made.fingerprint
    assert [row["step"] for row in result["evaluations"]] == [8, 16, 24]
    assert result["final"]["validation_loss"] == result["evaluations"][-1]["validation_loss"]
    assert 0 < result["final"]["standard_error"] < 0.5
    assert result["final"]["tokens"] == 24 * 8 * 32
    assert result["provenance"]["versions"]["torch"] == torch.__version__
    assert len(result["data"]["fingerprint"]) >= 12
    initial = build_model(made.model, seed=0, length=32).state_dict()
    assert result["model"]["initial_weights"] == tensors_digest(initial)
    load = result["final"]["expert_load"]
    if made.model.experts:
        assert [sum(layer) for layer in load] == pytest.approx([made.model.experts] * made.model.layers)
    else:
        assert load is None


@pytest.mark.parametrize(
    ("rows", "fields"),
    [
        (1, {}),
        (4, {}),
        (2, {"data__packed": False, "data__sequence_length": 256}),
        (2, {"name": "pocket-moe", "model__balance_loss": 1.0}),
    ],
    ids=["1", "4", "2 with padding, which weighs nothing", "2 of a mixture, whose balance is the batch's"],
)
def test_micro_batches_add_up_to_the_batch(text, here, tmp_path, rows, fields):
    made, losses = small_recipe(text, optimizer__power=1.3, **fields), []
    for size in (8, rows):
        train(made, tmp_path / str(size), execution=replace(here, micro_batch_size=size))
        losses.append([row["loss"] for row in read_metrics(tmp_path / str(size)) if "loss" in row])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("step", [0, 11])
def test_paused_and_resumed_is_unbroken(unbroken, here, tmp_path, step):
    made, whole = unbroken
    paused = train(made, tmp_path, execution=here, stop=after(step))
    assert (paused.status, paused.step) == ("paused", step)
    assert read_result(tmp_path) is None
    assert train(made, tmp_path, execution=here).status == "completed"
    assert_same_run(whole, tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer__module_rates": "mols", "optimizer__mols_share": 0.3, "optimizer__mols_every": 3},
        {"optimizer__module_rates": "blockwise", "optimizer__schedule": "cos", "optimizer__warmup_steps": 1},
        {"optimizer__algorithm": "muon", "optimizer__power": 0.9},
        {"optimizer__power": 1.3, "optimizer__power_schedule": "wsd", "optimizer__clip_order": "after"},
        {"training__precision": "bfloat16"},
        {"data__packed": False, "data__sequence_length": 256},
    ],
    ids=["mols", "blockwise", "muon", "power schedule", "bfloat16", "unpacked"],
)
def test_every_kind_of_run_resumes_bit_for_bit(text, here, tmp_path, fields):
    made = small_recipe(text, **fields)
    train(made, tmp_path / "whole", execution=here)
    for at in (5, 13):
        train(made, tmp_path / "parts", execution=here, stop=after(at))
    train(made, tmp_path / "parts", execution=here)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_line_of_metrics_across_a_pause_is_that_of_the_unbroken_run(text, here, tmp_path):
    made = small_recipe(text)
    execution = replace(here, log_every=6)
    train(made, tmp_path / "whole", execution=execution)
    train(made, tmp_path / "parts", execution=execution, stop=after(10))
    train(made, tmp_path / "parts", execution=execution)
    assert untimed(tmp_path / "parts") == untimed(tmp_path / "whole")


def test_a_step_is_saved_once(text, here, tmp_path, monkeypatch):
    saved = []

    def save(folder, step, *args, **options):
        saved.append(step)

    monkeypatch.setattr("experiments.training.run.save_checkpoint", save)
    train(small_recipe(text), tmp_path, execution=replace(here, checkpoint_steps=8))
    assert saved == [8, 16, 24]


def wait_for(condition, process, patience=60.0):
    end = time.monotonic() + patience
    while not condition() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)


def test_killed_at_random_moments_and_resumed_is_unbroken(text, here, tmp_path):
    made = small_recipe(text, optimizer__power=1.2, training__steps=40, model__layers=2)
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    train(made, whole, execution=here)
    rng, kills = torch.Generator().manual_seed(0), 0
    for _ in range(4):
        process = Child(whole / "recipe.json", folder, here.cache)
        before = len(checkpoints(folder / "checkpoints")) and checkpoints(folder / "checkpoints")[-1].name
        # Some time after it has got further than the last one: within a step, or within a checkpoint.
        wait_for(lambda b=before: (c := checkpoints(folder / "checkpoints")) and c[-1].name != b, process)
        time.sleep(float(torch.rand((), generator=rng)) * 0.1)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 2
    process = Child(whole / "recipe.json", folder, here.cache)
    assert process.wait() == 0, process.said
    assert process.said == "completed"
    assert_same_run(whole, folder)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=["SIGTERM", "Ctrl-C", "SIGHUP"]
)
def test_a_signal_saves_and_leaves(text, here, tmp_path, number):
    made = small_recipe(text, training__steps=400, training__batch_size=2, training__evaluate_every=400)
    folder = tmp_path / "run"
    train(made, folder, execution=here, stop=after(0))
    process = Child(folder / "recipe.json", folder, here.cache)
    wait_for(lambda: len(read_metrics(folder)) > 5, process)
    process.send_signal(number)
    assert process.wait() == 0, process.said
    assert process.said == "paused"
    (step,) = [load_latest(folder / "checkpoints")[0][0]]
    assert step >= 5
    assert read_metrics(folder)[-1]["step"] == step


def test_a_damaged_checkpoint_costs_only_its_steps(unbroken, here, tmp_path):
    made, whole = unbroken
    execution = replace(here, checkpoint_steps=5)
    train(made, tmp_path, execution=execution, stop=after(12))
    newest = checkpoints(tmp_path / "checkpoints")[-1]
    with (newest / "state.safetensors").open("r+b") as file:
        file.truncate(100)
    reporter = Mock()
    train(made, tmp_path, execution=here, reporter=reporter)
    first, second, *_ = (call.args[0] for call in reporter.note.call_args_list)
    assert "damaged" in first
    assert "going on after step 10" in second
    assert_same_run(whole, tmp_path)


def test_a_run_that_blows_up_is_recorded_and_not_resumed(text, here, tmp_path):
    made = small_recipe(
        text, optimizer__learning_rate=1e6, optimizer__clip_norm=None, optimizer__weight_decay=1e3
    )
    outcome = train(made, tmp_path, execution=here)
    assert outcome.status == "diverged"
    result = read_result(tmp_path)
    assert result.diverged["step"] == result.final.step <= 24
    assert result.final.validation_loss is None
    again = train(made, tmp_path, execution=here)
    assert again.status == "diverged"
    assert again.result == result


def test_a_run_that_ends_above_a_uniform_guess_says_so(text, here, tmp_path):
    outcome = train(small_recipe(text, optimizer__learning_rate=10.0), tmp_path, execution=here)
    assert outcome.status == "completed"
    loss = outcome.result.final.validation_loss
    assert loss > math.log(300)
    assert outcome.result.diverged == {"step": 24, "loss": str(loss)}


def test_arms_of_a_seed_share_weights_and_data(text, here, tmp_path):
    a = train(small_recipe(text), tmp_path / "a", execution=here)
    b = train(
        small_recipe(text, optimizer__power=1.5, optimizer__learning_rate=1e-3),
        tmp_path / "b",
        execution=here,
    )
    c = train(small_recipe(text, training__seed=1), tmp_path / "c", execution=here)
    first = [read_metrics(tmp_path / name)[0]["loss"] for name in "abc"]
    assert first[0] == first[1] != first[2]
    weights = [o.result.model["initial_weights"] for o in (a, b, c)]
    assert weights[0] == weights[1] != weights[2]
    assert a.result.data == b.result.data


def test_another_recipe_is_refused_by_its_fields(unbroken, here, text):
    made, folder = unbroken
    other = small_recipe(text, made.name, optimizer__power=0.7, training__seed=3)
    with pytest.raises(InputError, match=r"optimizer\.power: 1\.2 → 0\.7; training\.seed: 0 → 3"):
        train(other, folder, execution=here)


def test_changed_text_is_refused(here, tmp_path):
    text = write_text(tmp_path / "text")
    made = small_recipe(text)
    train(made, tmp_path / "run", execution=here, stop=after(0))
    write_text(tmp_path / "text", seed=1)
    with pytest.raises(InputError, match="the text has changed"):
        train(made, tmp_path / "run", execution=here)
    assert load_latest(tmp_path / "run" / "checkpoints")[0] is not None


def test_a_folder_in_use_is_refused(unbroken, here):
    from filelock import FileLock

    made, folder = unbroken
    with FileLock(folder / "lock"), pytest.raises(InputError, match="no other process"):
        train(made, folder, execution=here)


@pytest.mark.parametrize(
    ("fields", "execution", "message"),
    [
        ({"training__steps": 100_000}, {}, "tokens"),
        (
            {"model__attention": "flash_attention_2"},
            {},
            r"model\.attention: flash_attention_2 .* sdpa or eager",
        ),
        ({}, {"trackers": ("comet",)}, "trackers: comet"),
    ],
)
def test_runs_that_cannot_be(text, here, tmp_path, fields, execution, message):
    with pytest.raises(InputError, match=message) as caught:
        train(small_recipe(text, **fields), tmp_path, execution=replace(here, **execution))
    assert "\n" not in str(caught.value)
    # Nothing is left that would refuse the corrected command.
    assert not (tmp_path / "recipe.json").exists()


def test_executions_that_cannot_be():
    for fields, message in [
        ({"device": "gpu"}, "auto, cpu, cuda or cuda:N"),
        ({"device": "cuda:99"}, "cpu"),
        ({"threads": 0}, "a whole number >= 1"),
        ({"checkpoint_minutes": math.inf}, "a finite number > 0"),
    ]:
        with pytest.raises(InputError, match=message):
            Execution(**fields)


def test_a_full_disk_is_said_and_the_run_goes_on_later(unbroken, here, tmp_path, monkeypatch):
    made, whole = unbroken
    train(made, tmp_path, execution=here, stop=after(7))

    def full(path, text):
        raise OSError(28, os.strerror(28), str(path))

    with monkeypatch.context() as patched:
        patched.setattr("experiments.training.checkpoints.write_file", full)
        with pytest.raises(OSError, match="No space left"):
            train(made, tmp_path, execution=replace(here, checkpoint_steps=4))
    assert load_latest(tmp_path / "checkpoints")[0][0] == 7
    train(made, tmp_path, execution=here)
    assert_same_run(whole, tmp_path)


def test_a_tracker_is_told_what_the_metrics_say(text, here, tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    from tensorboardX.proto.event_pb2 import Event

    made = small_recipe(text)
    train(made, tmp_path, execution=replace(here, trackers=("tensorboard",)))
    files = tmp_path.rglob("events.out.tfevents.*")  # one of them holds the configuration
    content, told = b"".join(file.read_bytes() for file in files), {}
    while content:  # length, its checksum, the event, its checksum
        length = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]
        for value in event.summary.value:
            if value.tag in ("loss", "validation_loss"):
                told[value.tag, event.step] = value.simple_value
    rows = read_metrics(tmp_path)
    expected = {(k, row["step"]): row[k] for row in rows for k in ("loss", "validation_loss") if k in row}
    assert told == pytest.approx(expected, rel=1e-6)


def test_under_nohup_a_closed_terminal_changes_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGHUP)
        assert interruption.name is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_line_of_metrics_has_the_rate_and_power_of_its_step(text, here, tmp_path):
    """The first step of a warm-up has rate 0, and the power moves from 1 by equal parts."""
    made = small_recipe(text, optimizer__power_schedule="linear", optimizer__final_power=1.24)
    train(made, tmp_path, execution=here)
    rows = [row for row in read_metrics(tmp_path) if "loss" in row]
    rate, floor = made.optimizer.learning_rate, 0.1 * made.optimizer.learning_rate
    assert [row["power"] for row in rows] == pytest.approx([1 + 0.01 * step for step in range(24)])
    expected = [rate * min(1, step / 4) for step in range(20)]
    expected += [floor + (rate - floor) * share for share in (0.8, 0.6, 0.4, 0.2)]
    assert [row["learning_rate"] for row in rows] == pytest.approx(expected)


def test_a_package_installed_meanwhile_does_not_stop_a_run_on_python_source(here, tmp_path, monkeypatch):
    library = tmp_path / "lib"
    paths = dict.fromkeys(("stdlib", "purelib", "platlib"), str(library))
    monkeypatch.setattr("experiments.corpora.documents.sysconfig", Mock(get_paths=lambda: paths))
    words = write_text(tmp_path / "text").read_text().split("\n\n")
    library.mkdir()
    for number, content in enumerate(words):
        (library / f"module_{number}.py").write_text(content)
    made = small_recipe(tmp_path, data__source="python-source")
    own = replace(here, cache=tmp_path / "cache")
    train(made, tmp_path / "whole", execution=own)
    assert train(made, tmp_path / "run", execution=own, stop=after(9)).status == "paused"
    (library / "installed.py").write_text("print(1)\n" * 100)
    assert train(made, tmp_path / "run", execution=own).status == "completed"
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    # A run that begins now is on the new text.
    fresh = train(made, tmp_path / "fresh", execution=own).result
    assert fresh.data["text_sha256"] != read_result(tmp_path / "run").data["text_sha256"]

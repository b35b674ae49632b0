"""Sweeps in this process: what becomes of arms, of failures, of the folder; commands, exit codes and messages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from filelock import FileLock

import experiments.training.loop
from experiments.sweeps import engine, worker
from experiments.sweeps.arms import read_failures
from experiments.sweeps.leases import acquire, leases, newest
from experiments.sweeps.results import read_known, read_summary
from experiments.sweeps.store import Store, read_outcome
from experiments.sweeps.studies import read_study
from experiments.sweeps.worker import run_job
from experiments.training.execution import Execution
from experiments.training.loop import train
from experiments.training.records import read_metrics, read_result
from gradpower.__main__ import main
from gradpower.tools.errors import InputError
from tests.experiments.sweep_helpers import (
    ThreadWorker,
    arm_folder,
    given_workers,
    job_of,
    outcomes,
    small_study,
    toml_of,
    words_of,
    write_summary,
)
from tests.experiments.texts import small_recipe

pytestmark = pytest.mark.slow

BLOWS_UP = {"optimizer__learning_rate": 1e6, "optimizer__clip_norm": None, "optimizer__weight_decay": 1e3}


@pytest.fixture(scope="module")
def unbroken(text, cache, tmp_path_factory):
    """A study of which each arm was trained by itself."""
    study, folder = small_study(text), tmp_path_factory.mktemp("unbroken")
    execution = Execution(device="cpu", threads=1, log_every=1, cache=cache)
    for arm in study.arms():
        train(arm.recipe, arm_folder(folder, arm.fingerprint), execution=execution)
    return study, folder


@pytest.fixture
def given(unbroken, tmp_path):
    """The summary of that study, at another place."""
    study, folder = unbroken
    return write_summary(folder, study).rename(tmp_path / "given.json")


@pytest.fixture(autouse=True)
def inline(monkeypatch):
    """Workers that are no processes."""
    monkeypatch.setattr(engine, "local_workers", given_workers())
    monkeypatch.setattr(engine, "POLL", 0.05)


def states(folder, study, retries=2):
    return [state.state for state in Store(folder, study, retries).states()]


def one_worker(file, folder, cache, *more):
    return words_of(file, folder, cache, "--workers", "1", "--threads", "1", *more)


def text_of(folder, study):
    """The fingerprint of the text that a study ran on, by its settings."""
    result = read_result(arm_folder(folder, study.arms()[0].fingerprint))
    return {study.recipe.data: result.data["fingerprint"]}


@pytest.fixture
def command(text, cache, tmp_path):
    """The words of a sweep of four arms, and its folder."""
    file, folder = toml_of(small_recipe(text), tmp_path / "s.toml"), tmp_path / "out"
    return one_worker(file, folder, cache), folder


@pytest.mark.parametrize("told", ["file", "signal"])
def test_a_stop_within_arms_loses_nothing(unbroken, cache, tmp_path, monkeypatch, told):
    """And a worker that was told to leave goes on with the next job."""
    study, whole = unbroken
    monkeypatch.setattr(worker, "POLL", 0.0)
    looks = count()

    def require(self):
        if next(looks) in (3, 20, 41):
            job.stop_file.touch() if told == "file" else signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(worker.HeldLease, "require", require)
    endings = []
    for index in range(4):
        while True:
            job = job_of(study, tmp_path, cache, index, after=len(endings))
            endings.append(run_job(job))
            job.stop_file.unlink(missing_ok=True)
            if endings[-1] == "completed":
                break
    assert endings.count("paused") == 3
    assert outcomes(tmp_path, study) == outcomes(whole, study)


def test_a_budget_saves_the_arm_that_runs(text, cache, tmp_path):
    long = small_recipe(text, training__steps=40_000, data__epochs=1e4, training__evaluate_every=40_000)
    file, folder = toml_of(long, tmp_path / "s.toml"), tmp_path / "out"
    assert main(one_worker(file, folder, cache, "--budget", "0.1")) == 130
    first, second, *_ = Store(folder, read_study(file)).states()
    assert first.state == "paused"
    assert 0 < first.step < 40_000
    assert second.state == "open"
    assert not list(folder.glob("stop-*"))
    assert not (folder / "analysis.json").exists()


def test_an_arm_that_blows_up_is_a_result(text, cache, tmp_path):
    file, folder = toml_of(small_recipe(text, **BLOWS_UP), tmp_path / "s.toml"), tmp_path / "out"
    assert main(one_worker(file, folder, cache)) == 0
    study = read_study(file)
    assert states(folder, study) == ["diverged"] * 4
    assert [(r.status, r.loss) for r in read_outcome(folder).arms] == [("diverged", None)] * 4


def failing(monkeypatch, powers, times):
    """Let training of arms with these powers raise, so many times."""
    count = dict.fromkeys(powers, 0)
    real = experiments.training.loop.train

    def train(recipe, *args, **kwargs):
        power = recipe.optimizer.power
        if count.get(power, times) < times:
            count[power] += 1
            raise RuntimeError(f"CUDA out of memory, attempt {count[power]}")
        return real(recipe, *args, **kwargs)

    monkeypatch.setattr(experiments.training.loop, "train", train)
    return count


def test_a_failure_is_recorded_and_tried_again(unbroken, command, monkeypatch):
    study, whole = unbroken
    words, folder = command
    failing(monkeypatch, [1.2], times=1)
    killed = []
    monkeypatch.setattr(ThreadWorker, "kill", lambda self: killed.append(self))
    assert main(words) == 0
    assert len(killed) == 1  # another process is to take over after a failure
    failed = [row for arm in study.arms() for row in read_failures(arm_folder(folder, arm.fingerprint))]
    assert [row.error for row in failed] == ["RuntimeError: CUDA out of memory, attempt 1"]
    run = arm_folder(folder, study.arms()[1].fingerprint)
    assert "in train" in (run / failed[0].traceback).read_text()
    assert outcomes(folder, study) == outcomes(whole, study)


def test_a_sweep_goes_on_past_an_arm_that_always_fails(text, cache, tmp_path, monkeypatch, capsys):
    file, folder = toml_of(small_recipe(text), tmp_path / "s.toml"), tmp_path / "out"
    counts = failing(monkeypatch, [1.2], times=10**6)
    words = one_worker(file, folder, cache)
    assert main([*words, "--retries", "1"]) == 1
    err = capsys.readouterr().err
    assert counts == {1.2: 4}
    assert "2 arms failed" in err
    assert "--retries 2 or more" in err
    assert "failed: power=1.2 seed=0: 2 failed attempts; the last: RuntimeError: CUDA out of memory" in err
    assert states(folder, read_study(file), retries=1) == ["completed", "failed"] * 2
    assert json.loads((folder / "summary.json").read_text())["arms"][1]["status"] == "missing"
    # The same command leaves it at that; a higher bound tries again.
    assert main([*words, "--retries", "1"]) == 1
    assert counts == {1.2: 4}
    monkeypatch.setattr(experiments.training.loop, "train", train)
    assert main([*words, "--retries", "2"]) == 0
    assert json.loads((folder / "summary.json").read_text())["arms"][1]["status"] == "completed"


def test_who_lost_the_lease_during_a_step_writes_nothing_after_it(unbroken, cache, tmp_path, monkeypatch):
    """As a process that was stopped and goes on: it has not looked at the clock or at its lease since."""
    from experiments.training.run import Run

    study, _ = unbroken
    job, real, written = job_of(study, tmp_path, cache), Run.train_step, []

    def train_step(self):
        real(self)
        if self.step == 5:
            other = job.folder / "leases" / "000002"
            other.write_text('{"host": "elsewhere", "token": "theirs"}\n000000000001\n')
            written.extend(read_metrics(job.folder))

    monkeypatch.setattr(Run, "train_step", train_step)
    assert run_job(job) == "taken"
    assert read_metrics(job.folder) == written
    assert not (job.folder / "checkpoints").exists()
    assert read_result(job.folder) is None
    assert read_failures(job.folder) == []
    assert not newest(job.folder).released  # that of the one who took over


def test_status_names_the_worker_of_a_suspended_arm(unbroken, cache, tmp_path, capsys):
    study, _ = unbroken
    store = Store(tmp_path / "out", study)
    store.declare()
    with acquire(store.run(store.arms[0]), 0) as held:
        held._end.set()  # its heartbeat stands still, as that of a stopped process
        held._thread.join()
        os.utime(held.path, (0, 0))
        assert [state.state for state in store.states()] == ["running", *["open"] * 3]
        assert main(["status", str(tmp_path / "out")]) == 0
    assert (
        f"seed=0: the worker, {socket.gethostname()} {os.getpid()}, is suspended" in capsys.readouterr().out
    )


def test_a_run_in_which_someone_trains_is_left_alone(unbroken, command):
    study, _ = unbroken
    words, folder = command
    first = arm_folder(folder, study.arms()[0].fingerprint)
    assert main([*words, "--budget", "0.00001"]) == 130
    run = first.resolve()
    run.mkdir(parents=True)
    with FileLock(run / "lock"):
        assert main([*words, "--budget", "0.05"]) == 130
    assert states(folder, study) == ["open", *["completed"] * 3]
    assert len(leases(run)) == 1  # looked at once, and not again and again
    assert newest(run).released


def test_a_whole_sweep(command, unbroken, capsys):
    words, folder = command
    _, whole = unbroken
    assert main(words) == 0
    out, err = capsys.readouterr()
    study = read_study(Path(words[1]))
    assert outcomes(folder, study) == outcomes(whole, study)
    assert "completed: power=1.2 seed=1: validation loss" in err
    assert "4 arms: 4 completed" in err
    assert f"wrote {folder / 'analysis.json'}" in out
    analysis = json.loads((folder / "analysis.json").read_text())
    assert analysis["fingerprint"] == study.fingerprint
    assert analysis["provenance"]["command"] == "gradpower sweep small"
    assert analysis["added_late"] == []
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["schema"] == {"name": "gradpower/sweep", "version": 1}
    assert read_summary(folder).study.fingerprint == study.fingerprint
    for row, arm in zip(summary["arms"], study.arms(), strict=True):
        result = read_result(arm_folder(whole, arm.fingerprint))
        final = result.final
        assert row["values"] == arm.values
        assert (row["seed"], row["fingerprint"], row["status"]) == (arm.seed, arm.fingerprint, "completed")
        assert (row["loss"], row["standard_error"]) == (final.validation_loss, final.standard_error)
        assert row["tokens_per_second"] > 0
        origin = summary["origins"][row["origin"]]
        assert origin["hardware"]["device"] == "cpu"
        assert origin["data"]["fingerprint"] == result.data["fingerprint"]
        assert origin["provenance"]["versions"]["torch"]
    assert len(summary["origins"]) == 1
    assert not list(folder.glob("stop-*"))
    # Once more: nothing is run, the outcome is said again.
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["ended"] == "done"
    assert [arm["state"] for arm in content["arms"]] == ["completed"] * 4
    assert content["analysis"]["completed"] == 4
    runs = [arm_folder(folder, arm.fingerprint) for arm in study.arms()]
    assert [len(leases(run)) for run in runs] == [1] * 4
    assert all(newest(run).released for run in runs)


def test_two_studies_with_the_same_arm_share_its_run(unbroken, command, cache, text, capsys):
    study, _ = unbroken
    words, folder = command
    assert main(words) == 0
    runs = {run.name for run in (folder.parent / "arms").iterdir()}
    (fingerprint,) = {text_of(folder, study)[study.recipe.data]}
    assert runs == {f"{arm.fingerprint}-{fingerprint}" for arm in study.arms()}
    second = folder.parent / "second"
    file = toml_of(small_recipe(text), folder.parent / "other.toml", powers=(1.0, 1.2, 1.5))
    file.write_text(file.read_text().replace('"small"', '"second"'))
    assert main(one_worker(file, second, cache)) == 0
    other = read_study(file)
    assert states(second, other) == ["completed"] * 6
    assert outcomes(second, other).items() >= outcomes(folder, study).items()
    assert {len(leases(arm_folder(second, arm.fingerprint))) for arm in other.arms()} == {1}
    # A copy of all folders works elsewhere.
    shutil.copytree(folder.parent, folder.parent.parent / "copy", symlinks=True)
    assert states(folder.parent.parent / "copy" / "second", other) == ["completed"] * 6


def test_another_text_is_another_run_and_not_in_the_same_folder(unbroken, tmp_path):
    study, _ = unbroken
    Store(tmp_path / "a", study).link({study.recipe.data: "text"})
    Store(tmp_path / "b", study).link({study.recipe.data: "other"})
    name = study.arms()[0].fingerprint
    assert arm_folder(tmp_path / "a", name).resolve() == (tmp_path / "arms" / f"{name}-text").resolve()
    assert arm_folder(tmp_path / "b", name).resolve() == (tmp_path / "arms" / f"{name}-other").resolve()
    with pytest.raises(InputError, match=r"output: .*on this text \(other\)"):
        Store(tmp_path / "a", study).link({study.recipe.data: "other"})


def test_arms_of_a_summary_are_not_run_again(unbroken, given, cache, tmp_path, capsys):
    """A study goes on from its committed summary, and its outcome is that of all arms run here."""
    whole, source = unbroken
    file = toml_of(whole.recipe, tmp_path / "s.toml", seeds=(0, 1, 2))
    words = one_worker(file, tmp_path / "on", cache, "--known", str(given))
    assert main([*words, "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "4 of these arms are in" in shown.err
    assert "6 arms: 4 completed, 2 open" in shown.out
    assert main([*words, "--snapshots", "1"]) == 2
    assert "none with --snapshots: a summary has no weights" in capsys.readouterr().err
    assert not (tmp_path / "on").exists()
    assert main(words) == 0
    assert "4 arms are reused from" in capsys.readouterr().err
    study = read_study(file)
    assert states(tmp_path / "on", study) == ["completed"] * 6
    old = {result.fingerprint: result for result in Store(source, whole).outcome().arms}
    new = {result.fingerprint: result for result in read_outcome(tmp_path / "on").arms}
    assert {name: new[name] for name in old} == old
    trained = {name for name in new if leases(arm_folder(tmp_path / "on", name))}
    assert trained == set(new) - set(old)
    before, after = read_summary(given), read_summary(tmp_path / "on")
    rows = {row.fingerprint: row for row in after.arms}
    for row in before.arms:
        assert after.origins[rows[row.fingerprint].origin] == before.origins[row.origin]
    # A run that is there already is left as it is.
    assert main(words) == 0
    assert "0 arms are reused from" in capsys.readouterr().err


def test_a_summary_of_another_study_is_refused_with_what_differs(unbroken, given):
    study, _ = unbroken
    data = replace(study.recipe.data, source="text:other.txt")
    other = replace(study, recipe=replace(study.recipe, data=data))
    with pytest.raises(InputError, match=r"known: .*in this one data\.source: text:other\.txt → "):
        read_known(other, given)


def test_what_is_not_known(unbroken, given, tmp_path):
    study, source = unbroken
    whole = json.loads(given.read_text())
    first, second, *rest = whole["arms"]
    with pytest.raises(InputError, match=r"known: .*completed arms of small on this text"):
        Store(tmp_path / "a", study).begin({study.recipe.data: "other text"}, read_known(study, given))
    diverged = first | {"status": "diverged", "loss": None}
    given.write_text(json.dumps({**whole, "arms": [diverged, second, *rest]}))
    assert Store(tmp_path / "b", study).begin(text_of(source, study), read_known(study, given)) == 3
    for broken in ({}, {**whole, "origins": []}, {**whole, "study": {}}):
        given.write_text(json.dumps(broken))
        with pytest.raises(InputError, match=r"known: .*gradpower/sweep"):
            read_known(study, given)
    swapped = [a | {"fingerprint": b["fingerprint"]} for a, b in ((first, second), (second, first))]
    for contradictory in ([first | {"loss": None}, second], swapped):
        given.write_text(json.dumps({**whole, "arms": [*contradictory, *rest]}))
        with pytest.raises(InputError, match="known: "):
            read_known(study, given)


def test_a_changed_study_is_refused_and_loses_nothing(command, text, capsys):
    words, folder = command
    assert main(words) == 0
    before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*") if path.is_file()}
    del before[Path(words[1])], before[Path(words[1]).parent / "recipe.json"]
    toml_of(small_recipe(text), Path(words[1]), powers=(1.0, 1.3))
    for more in ([], ["--dry-run"]):
        capsys.readouterr()
        assert main([*words, *more]) == 2
        err = capsys.readouterr().err
        assert err.startswith("gradpower: error: study: small is not allowed")
        assert "optimizer.power: [1.0, 1.2] → [1.0, 1.3]" in err
        assert err.count("\n") == 1
    assert (
        before.items() <= {p: p.stat().st_mtime_ns for p in folder.parent.rglob("*") if p.is_file()}.items()
    )
    # What keeps all arms is only added to.
    toml_of(small_recipe(text), Path(words[1]), powers=(1.0, 1.2, 0.9))
    assert main(words) == 0
    assert "6 arms: 6 completed" in capsys.readouterr().err
    (addition,) = json.loads((folder / "summary.json").read_text())["history"]
    assert (addition["added"], addition["finished"]) == (
        "optimizer.power: [1.0, 1.2] → [1.0, 1.2, 0.9]",
        4,
    )
    assert json.loads((folder / "analysis.json").read_text())["added_late"] == [addition["added"]]
    assert read_outcome(folder).history == read_summary(folder).history == [addition]
    results = {p: t for p, t in before.items() if p.name == "result.json"}
    assert len(results) == 4
    assert {path: path.stat().st_mtime_ns for path in results} == results


def test_what_no_arm_could_do_is_found_before_the_first(command, text, capsys):
    words, folder = command
    toml_of(small_recipe(text, training__steps=100_000), Path(words[1]))
    assert main(words) == 2
    assert "tokens" in capsys.readouterr().err
    toml_of(small_recipe(text), Path(words[1]))
    assert main([*words, "--micro-batch-size", "3"]) == 2
    assert "training.batch_size" in capsys.readouterr().err
    assert main([*words, "--shard"]) == 2
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "example", "--workers", "0"], "workers: 0"),
        (["sweep", "example", "--retries", "-1"], "retries: -1"),
        (["sweep", "example", "--budget", "0"], "budget: 0"),
        (["sweep", "example", "--workers", "auto"], "workers"),
        (["status", "example", "--retries", "-1"], "retries: -1"),
        (["status", "runs/exmaple"], "a folder with study.json"),
    ],
)
def test_words_that_cannot_be(words, message, tmp_path, capsys):
    output = [] if words[1] == "runs/exmaple" else ["--output", str(tmp_path / "out")]
    assert main([*words, *output]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_runs_and_writes_nothing(command, capsys):
    words, folder = command
    assert main([*words, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "4 arms: 4 open" in out
    assert "…" not in out
    assert not folder.exists()
    assert main([*words, "--dry-run", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [arm["seconds_left"] for arm in content["arms"]] == [None] * 4


def test_a_dry_run_of_many_fields_fits_eighty_columns(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["sweep", "example", "--dry-run", "--output", str(tmp_path / "new")]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    assert "batch size" in out
    file = toml_of(small_recipe(Path("nowhere.txt")), tmp_path / "s.toml")
    assert main(["sweep", str(file), "--dry-run", "--output", str(tmp_path / "new")]) == 2
    assert "data.source: nowhere.txt is not allowed" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["sweep", "example", "--dry-run", "--output", str(tmp_path / "file")]) == 2
    assert "a folder that can be written" in capsys.readouterr().err


def test_a_dry_run_measures_time_on_finished_arms(command, capsys):
    words, folder = command
    assert main(words) == 0
    study = read_study(Path(words[1]))
    speeds = sorted(state.tokens_per_second for state in Store(folder, study).states()[:3])
    shutil.rmtree(arm_folder(folder, study.arms()[3].fingerprint).resolve())
    capsys.readouterr()
    assert main([*words, "--dry-run", "--json"]) == 0
    arms = json.loads(capsys.readouterr().out)["arms"]
    assert [arm["seconds_left"] for arm in arms[:3]] == [0.0] * 3
    assert arms[3]["seconds_left"] == pytest.approx(24 * 8 * 32 / speeds[1])


def test_status(command, text, cache, capsys):
    words, folder = command
    assert main(["status", words[1], "--output", str(folder)]) == 2
    assert "study.json yet" in capsys.readouterr().err
    assert main(words) == 0
    study = read_study(Path(words[1]))
    first, second, third, _ = (arm_folder(folder, arm.fingerprint) for arm in study.arms())
    for run in (second, third):
        (run / "result.json").unlink()
    (third / "attempts.jsonl").write_text('{"error": "no", "lease": "a"}\n' * 3 + '{"error": "cut o')
    (second / "leases" / "000002").write_text('{"host": "elsewhere", "kernel": "another"}\n000000000001\n')
    capsys.readouterr()
    for where in ([str(folder)], [words[1], "--output", str(folder)]):
        assert main(["status", *where, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)["arms"]
        assert [row["state"] for row in rows] == ["completed", "running", "failed", "completed"]
        assert rows[1]["heartbeat"] < 10
        assert (rows[1]["step"], rows[1]["steps"], rows[1]["seconds_left"]) == (24, 24, 0)
        assert (rows[2]["failures"], rows[2]["error"]) == (3, "no")
        assert rows[0]["validation_loss"] == read_result(first).final.validation_loss
    assert main(["status", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "4 arms: 1 failed, 2 completed, 1 running" in out
    loss = read_result(first).final.validation_loss
    rows = [line.split() for line in out.splitlines()]
    assert ["1", f"{loss:.4f}", "failed"] in rows
    assert "24/24" in out
    assert main(["status", str(folder), "--retries", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["arms"][2]["state"] == "paused"


def test_workers_take_the_gpus_in_turn(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices = [worker.on_gpu(Execution(device="auto"), slot).device for slot in range(4)]
    assert devices == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert worker.gpus(Execution(device="auto")) == 2
    assert worker.on_gpu(Execution(device="cuda:1"), 0).device == "cuda:1"
    assert worker.on_gpu(Execution(device="cpu"), 1).device == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # where a cluster shows a worker only its own
    assert worker.on_gpu(Execution(device="cuda"), 3).device == "cuda"


def test_a_study_without_its_runs_is_not_taken_for_one_that_has_not_begun(command, tmp_path, capsys):
    """Its runs lie beside its folder: a copy without them must not lose its summary, or be given another rule."""
    words, folder = command
    assert main(words) == 0
    copy = tmp_path / "elsewhere" / folder.name
    shutil.copytree(folder, copy, symlinks=True)
    kept = (copy / "summary.json").read_bytes()
    for asked in (["analyse", str(copy)], [*words[:2], "--output", str(copy), *words[4:]]):
        assert main(asked) == 2
        assert "move them along" in capsys.readouterr().err
    assert (copy / "summary.json").read_bytes() == kept

"""Sweeps in this process: what becomes of arms, of failures, of the folder; commands, exit codes and messages."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import pytest

import experiments.training
from experiments.execution import Execution
from experiments.records import read_metrics, read_result
from experiments.sweeps import adoption, engine, worker
from experiments.sweeps.adoption import adopt
from experiments.sweeps.arms import arm_folder, arm_state, read_failures
from experiments.sweeps.claims import claim_files, holder
from experiments.sweeps.outcome import read_history
from experiments.sweeps.recall import known_arms, recall
from experiments.sweeps.results import read_results, write_summary
from experiments.sweeps.study import study_from_dict
from experiments.sweeps.study_files import read_study
from experiments.sweeps.worker import work
from experiments.training import train
from gradpower.__main__ import main
from gradpower.tools.errors import InputError
from tests.experiments.corpora import small_recipe, write_text
from tests.experiments.sweep_helpers import Inline, outcomes, plan_of, small_study, toml_of

BLOWS_UP = {"optimizer__learning_rate": 1e6, "optimizer__clip_norm": None, "optimizer__weight_decay": 1e3}


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    return write_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def unbroken(text, cache, tmp_path_factory):
    """A study of which each arm was trained by itself."""
    study, folder = small_study(text), tmp_path_factory.mktemp("unbroken")
    execution = Execution(device="cpu", threads=1, log_every=1, cache=cache)
    for arm in study.arms():
        train(arm.recipe, arm_folder(folder, arm.fingerprint), execution=execution)
    return study, folder


@pytest.fixture
def inline(monkeypatch):
    """Workers that are no processes."""
    monkeypatch.setattr(engine, "Process", Inline)


def run(plan):
    return work(asdict(plan), 0)


def states(folder, study, retries=2):
    return [arm_state(folder, arm, retries).state for arm in study.arms()]


def test_one_process_for_many_arms_changes_no_number(unbroken, cache, tmp_path):
    study, whole = unbroken
    names = [arm.fingerprint for arm in study.arms()]
    assert run(plan_of(study, tmp_path, cache)) == {"ended": "done", "error": None, "trained": names}
    assert outcomes(tmp_path, study) == outcomes(whole, study)
    assert all(holder(arm_folder(tmp_path, name)).released for name in names)
    # Nothing is left to do, and nothing is done.
    before = [len(claim_files(arm_folder(tmp_path, name))) for name in names]
    assert run(plan_of(study, tmp_path, cache))["trained"] == []
    assert [len(claim_files(arm_folder(tmp_path, name))) for name in names] == before == [1] * 4


def test_a_stop_between_and_within_arms(unbroken, cache, tmp_path, monkeypatch):
    study, whole = unbroken
    monkeypatch.setattr(worker, "POLL", 0.0)
    calls = iter(range(10**6))
    real = worker._Worker._must_stop
    stopped = 0
    for at in (3, 20, 41):
        monkeypatch.setattr(
            worker._Worker, "_must_stop", lambda self, at=at: next(calls) % 50 == at or real(self)
        )
        stopped += run(plan_of(study, tmp_path, cache))["ended"] == "stopped"
    assert stopped == 3
    monkeypatch.setattr(worker._Worker, "_must_stop", real)
    assert run(plan_of(study, tmp_path, cache))["ended"] == "done"
    assert outcomes(tmp_path, study) == outcomes(whole, study)


@pytest.mark.parametrize("reason", ["time", "file", "orphaned"])
def test_reasons_to_stop(unbroken, cache, tmp_path, reason):
    study, _ = unbroken
    more = {"time": {"seconds": -1.0}, "file": {}, "orphaned": {"parent": 1 << 22}}[reason]
    plan = plan_of(study, tmp_path, cache, **more)
    if reason == "file":
        plan.stop_file.touch()
    assert run(plan)["ended"] == "stopped"
    assert states(tmp_path, study) == ["open"] * 4


def test_a_deadline_saves_the_arm_that_runs(text, cache, tmp_path):
    study = small_study(
        text, seeds=(0,), training__steps=4000, data__epochs=1e4, training__evaluate_every=4000
    )
    assert run(plan_of(study, tmp_path, cache, seconds=1.0))["ended"] == "stopped"
    first, second = (arm_state(tmp_path, arm, 2) for arm in study.arms())
    assert first.state == "paused"
    assert 0 < first.step < 4000
    assert second.state == "open"


def test_an_arm_that_blows_up_is_a_result(text, cache, tmp_path):
    study = small_study(text, seeds=(0,), **BLOWS_UP)
    assert run(plan_of(study, tmp_path, cache))["ended"] == "done"
    assert states(tmp_path, study) == ["diverged"] * 2
    assert [(r.status, r.loss) for r in read_results(tmp_path, study)] == [("diverged", None)] * 2
    assert run(plan_of(study, tmp_path, cache))["trained"] == []


def failing(monkeypatch, powers, times):
    """Let training of arms with these powers raise, so many times."""
    count = dict.fromkeys(powers, 0)
    real = experiments.training.train

    def train(recipe, *args, **kwargs):
        power = recipe.optimizer.power
        if count.get(power, times) < times:
            count[power] += 1
            raise RuntimeError(f"CUDA out of memory, attempt {count[power]}")
        return real(recipe, *args, **kwargs)

    monkeypatch.setattr(experiments.training, "train", train)
    return count


def test_a_failure_is_recorded_and_tried_again(unbroken, cache, tmp_path, monkeypatch):
    study, whole = unbroken
    failing(monkeypatch, [1.2], times=1)
    ends = [run(plan_of(study, tmp_path, cache))["ended"] for _ in range(2)]
    assert ends == ["failed", "done"]  # another process is to take over after a failure
    failed = [row for arm in study.arms() for row in read_failures(arm_folder(tmp_path, arm.fingerprint))]
    assert [row["error"] for row in failed] == ["RuntimeError: CUDA out of memory, attempt 1"]
    own = arm_folder(tmp_path, study.arms()[1].fingerprint)
    assert "in train" in (own / failed[0]["traceback"]).read_text()
    assert outcomes(tmp_path, study) == outcomes(whole, study)


def test_a_sweep_goes_on_past_an_arm_that_always_fails(text, cache, tmp_path, monkeypatch, inline, capsys):
    file, folder = toml_of(small_recipe(text), tmp_path / "s.toml", seeds=[0]), tmp_path / "out"
    counts = failing(monkeypatch, [1.2], times=10**6)
    words = ["sweep", str(file), "--output", str(folder), "--workers", "1", "--threads", "1"]
    words += ["--device", "cpu", "--cache", str(cache)]
    assert main([*words, "--retries", "1"]) == 1
    err = capsys.readouterr().err
    assert counts == {1.2: 2}
    assert "1 arms failed" in err
    assert "--retries 2 or more" in err
    assert "failed: power=1.2 seed=0: 2 failed attempts; the last: RuntimeError: CUDA out of memory" in err
    assert states(folder, read_study(file), retries=1) == ["completed", "failed"]
    assert json.loads((folder / "summary.json").read_text())["arms"][1]["status"] == "missing"
    # The same command leaves it at that; a higher bound tries again.
    assert main([*words, "--retries", "1"]) == 1
    assert counts == {1.2: 2}
    monkeypatch.setattr(experiments.training, "train", train)
    assert main([*words, "--retries", "2"]) == 0
    assert json.loads((folder / "summary.json").read_text())["arms"][1]["status"] == "completed"


def test_an_arm_that_was_taken_over_is_left_without_a_trace(unbroken, cache, tmp_path, monkeypatch):
    study, _ = unbroken
    monkeypatch.setattr(worker, "POLL", 0.0)
    own = arm_folder(tmp_path, study.arms()[0].fingerprint)
    real = worker.Claim.require

    def require(self):
        if (
            self.path.parent.parent == own
            and len(read_metrics(own)) > 5
            and not (own / "claims/000002").exists()
        ):
            (own / "claims" / "000002").write_text('{"host": "elsewhere", "token": "theirs"}\n000000000001\n')
        real(self)

    monkeypatch.setattr(worker.Claim, "require", require)
    plan = plan_of(study, tmp_path, cache)
    lost = {name: recipe for name, recipe in plan.arms.items() if name == own.name}
    taken = worker._Worker(plan_of(study, tmp_path, cache), 0, type("Nothing", (), {"name": None}))
    taken.open = list(lost)
    assert taken._run_one() is None
    assert taken.trained == []
    assert read_result(own) is None
    assert not (own / "checkpoints").exists()
    assert read_failures(own) == []
    assert not holder(own).released  # that of the one who took over


def test_an_arm_in_which_someone_trains_is_left_alone(unbroken, cache, tmp_path):
    from filelock import FileLock

    study, _ = unbroken
    own = arm_folder(tmp_path, study.arms()[0].fingerprint)
    own.mkdir(parents=True)
    plan = plan_of(study, tmp_path, cache, seconds=0.5)
    plan = dataclasses.replace(plan, arms={own.name: plan.arms[own.name]})
    with FileLock(own / "lock"):
        assert run(plan)["ended"] == "stopped"
    assert sorted(path.name for path in own.iterdir()) == ["claims", "lock"]
    assert len(claim_files(own)) == 1  # looked at once, and not again and again
    assert holder(own).released


def test_only_one_worker_in_a_process(unbroken, cache, tmp_path):
    study, _ = unbroken
    with worker.ALONE:
        end = run(plan_of(study, tmp_path, cache))
    assert end["ended"] == "refused"
    assert end["error"][0] == "backend"


def test_a_device_that_is_not_there_is_refused(unbroken, cache, tmp_path):
    study, _ = unbroken
    end = run(plan_of(study, tmp_path, cache, execution={"device": "cuda:99"}))
    assert (end["ended"], end["error"][0]) == ("refused", "device")


@pytest.fixture
def command(text, cache, tmp_path, inline):
    """The words of a sweep of four arms, and its folder."""
    file, folder = toml_of(small_recipe(text), tmp_path / "s.toml"), tmp_path / "out"
    words = ["sweep", str(file), "--output", str(folder), "--workers", "1", "--threads", "1"]
    return [*words, "--device", "cpu", "--log-every", "1", "--cache", str(cache)], folder


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
    assert analysis["history"] == []
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["schema"] == {"name": "gradpower/sweep", "version": 1}
    assert study_from_dict(summary["study"]).fingerprint == study.fingerprint
    for row, arm in zip(summary["arms"], study.arms(), strict=True):
        final = read_result(arm_folder(whole, arm.fingerprint))["final"]
        assert row["values"] == arm.values
        assert (row["seed"], row["fingerprint"], row["status"]) == (arm.seed, arm.fingerprint, "completed")
        assert (row["loss"], row["standard_error"]) == (final["validation_loss"], final["standard_error"])
        assert row["tokens_per_second"] > 0
        origin = summary["origins"][row["origin"]]
        assert origin["hardware"]["device"] == "cpu"
        assert (
            origin["data"]["fingerprint"]
            == read_result(arm_folder(whole, arm.fingerprint))["data"]["fingerprint"]
        )
        assert origin["provenance"]["versions"]["torch"]
    assert len(summary["origins"]) == 1
    assert not list(folder.glob("stop-*"))
    # Once more: nothing is run, the outcome is said again.
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["ended"] == "done"
    assert [arm["state"] for arm in content["arms"]] == ["completed"] * 4
    assert content["analysis"]["arms"]["completed"] == 4


@pytest.fixture
def related(monkeypatch):
    """As if the small study were a part of one, beside the part called first."""
    monkeypatch.setattr(adoption, "parts_of", lambda study: {"first": "first", study.name: "second"})


def test_arms_that_another_part_has_finished_are_taken_over(
    unbroken, cache, tmp_path, inline, related, capsys
):
    whole, source = unbroken
    shutil.copytree(source, tmp_path / "first")
    file = toml_of(whole.recipe, tmp_path / "s.toml", powers=(1.0, 1.2, 1.5))
    words = ["sweep", str(file), "--output", str(tmp_path / "second"), "--workers", "1", "--threads", "1"]
    words += ["--device", "cpu", "--cache", str(cache)]
    assert main(words) == 0
    assert "4 arms are those of first, which has finished them" in capsys.readouterr().err
    study = read_study(file)
    assert states(tmp_path / "second", study) == ["completed"] * 6
    taken = outcomes(tmp_path / "second", study)
    old = outcomes(source, whole)
    assert all(taken[name] == old[name] for name in old)
    trained = [name for name in taken if (arm_folder(tmp_path / "second", name) / "claims").exists()]
    assert sorted(trained) == sorted(set(taken) - set(old))
    summary = json.loads((tmp_path / "second" / "summary.json").read_text())
    assert {row["fingerprint"] for row in summary["arms"] if row["adopted_from"] == "first"} == set(old)


def test_which_arms_are_not_taken_over(unbroken, tmp_path, related, monkeypatch):
    study, source = unbroken
    shutil.copytree(source, tmp_path / "first")
    second, data = tmp_path / "second", study.recipe.data
    right = read_result(arm_folder(source, study.arms()[0].fingerprint))["data"]["fingerprint"]
    assert adopt(second, study, {data: "other text"}) == {}
    assert adopt(second, study, {}) == {}
    assert adopt(second, study, {data: right}, snapshots=True) == {}
    with monkeypatch.context() as other_versions:
        other_versions.setattr(adoption, "version", lambda name: "0")
        assert adopt(second, study, {data: right}) == {}
    with monkeypatch.context() as unrelated:
        unrelated.setattr(adoption, "parts_of", lambda study: {})
        assert adopt(second, study, {data: right}) == {}
    assert not list(second.glob("arms/*"))
    assert adopt(second, study, {data: right}) == {"first": 4}
    assert adopt(second, study, {data: right}) == {}


def test_arms_of_a_summary_are_not_run_again(unbroken, cache, tmp_path, inline, capsys):
    """A study goes on from its committed summary, and its outcome is that of all arms run here."""
    whole, source = unbroken
    given = write_summary(source, whole).rename(tmp_path / "given.json")
    file = toml_of(whole.recipe, tmp_path / "s.toml", seeds=(0, 1, 2))
    words = ["sweep", str(file), "--output", str(tmp_path / "on"), "--workers", "1", "--threads", "1"]
    words += ["--device", "cpu", "--cache", str(cache), "--known", str(given)]
    assert main([*words, "--dry-run"]) == 0
    told = capsys.readouterr()
    assert "4 of these arms are in" in told.err
    assert "6 arms: 4 completed, 2 open" in told.out
    assert main([*words, "--snapshots", "1"]) == 2
    assert "none with --snapshots: a summary has no weights" in capsys.readouterr().err
    assert not (tmp_path / "on").exists()
    assert main(words) == 0
    assert "4 arms are those of" in capsys.readouterr().err
    study = read_study(file)
    assert states(tmp_path / "on", study) == ["completed"] * 6
    old = {result.fingerprint: result for result in read_results(source, whole)}
    new = {result.fingerprint: result for result in read_results(tmp_path / "on", study)}
    assert {name: new[name] for name in old} == old
    trained = {name for name in new if (arm_folder(tmp_path / "on", name) / "claims").exists()}
    assert trained == set(new) - set(old)
    before, after = (json.loads(path.read_text()) for path in (given, tmp_path / "on" / "summary.json"))
    rows = {row["fingerprint"]: row for row in after["arms"]}
    assert {name for name, row in rows.items() if row["adopted_from"] == given.as_posix()} == set(old)
    for row in before["arms"]:
        assert after["origins"][rows[row["fingerprint"]]["origin"]] == before["origins"][row["origin"]]
    # An arm that is there already is left as it is.
    assert main(words) == 0
    assert "0 arms are those of" in capsys.readouterr().err


def test_arms_known_from_a_summary_are_taken_over_by_other_parts(unbroken, tmp_path, related):
    study, source = unbroken
    given = write_summary(source, study).rename(tmp_path / "given.json")
    text = read_result(arm_folder(source, study.arms()[0].fingerprint))["data"]["fingerprint"]
    data = {study.recipe.data: text}
    assert recall(tmp_path / "first", study, data, given) == 4
    assert adopt(tmp_path / "second", study, data) == {"first": 4}


def test_a_summary_of_another_study_is_refused_with_what_differs(unbroken, tmp_path):
    study, source = unbroken
    given = write_summary(source, study).rename(tmp_path / "given.json")
    data = dataclasses.replace(study.recipe.data, source="text:other.txt")
    other = dataclasses.replace(study, recipe=dataclasses.replace(study.recipe, data=data))
    with pytest.raises(InputError, match=r"known: .*in this one data\.source: text:other\.txt → "):
        known_arms(other, given, snapshots=False)


def test_what_is_not_known(unbroken, tmp_path):
    study, source = unbroken
    data = study.recipe.data
    given = write_summary(source, study).rename(tmp_path / "given.json")
    right = read_result(arm_folder(source, study.arms()[0].fingerprint))["data"]["fingerprint"]
    for text in ({data: "other text"}, {}):
        with pytest.raises(InputError, match=r"known: .*completed arms of small on this text"):
            recall(tmp_path / "on", study, text, given)
    content = json.loads(given.read_text())
    content["arms"][0]["status"] = "diverged"
    given.write_text(json.dumps(content))
    assert recall(tmp_path / "on", study, {data: right}, given) == 3
    given.write_text(json.dumps({key: value for key, value in content.items() if key != "origins"}))
    with pytest.raises(InputError, match=r"known: .*a summary\.json with `origins`"):
        recall(tmp_path / "on", study, {data: right}, given)
    for broken in ("{}", json.dumps({**content, "origins": []}), json.dumps({**content, "study": {}})):
        given.write_text(broken)
        with pytest.raises(InputError, match=r"known: .*the summary\.json of a study, or a folder with one"):
            recall(tmp_path / "on", study, {data: right}, given)


def test_out_of_time_and_the_same_command_goes_on(command, unbroken, capsys):
    words, folder = command
    study, whole = unbroken
    assert main([*words, "--budget", "0.00001"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not (folder / "analysis.json").exists()
    assert main([*words, "--budget", "10"]) == 0
    assert outcomes(folder, study) == outcomes(whole, study)


def test_a_changed_study_is_refused_and_loses_nothing(command, text, capsys):
    words, folder = command
    assert main(words) == 0
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    toml_of(small_recipe(text), Path(words[1]), powers=(1.0, 1.3))
    for more in ([], ["--dry-run"]):
        capsys.readouterr()
        assert main([*words, *more]) == 2
        err = capsys.readouterr().err
        assert err.startswith("gradpower: error: study: small is not allowed")
        assert "optimizer.power: [1.0, 1.2] → [1.0, 1.3]" in err
        assert err.count("\n") == 1
    assert before.items() <= {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}.items()
    # What keeps all arms is only added to.
    toml_of(small_recipe(text), Path(words[1]), powers=(1.0, 1.2, 0.9))
    assert main(words) == 0
    assert "6 arms: 6 completed" in capsys.readouterr().err
    for file in ("analysis.json", "summary.json"):
        (addition,) = json.loads((folder / file).read_text())["history"]
        assert (addition["added"], addition["finished"]) == ("optimizer.power 0.9", 4)
    assert read_history(folder) == read_history(folder / "summary.json") == [addition]
    results = {p: t for p, t in before.items() if p.name == "result.json"}
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
    ("more", "message"),
    [
        (["--workers", "0"], "workers: 0"),
        (["--retries", "-1"], "retries: -1"),
        (["--budget", "0"], "budget: 0"),
        (["--address", "auto"], "address: auto"),
        (["--backend", "dask"], "address: none"),
    ],
)
def test_options_that_cannot_be(command, more, message, capsys):
    words, folder = command
    assert main([*words, *more]) == 2
    assert message in capsys.readouterr().err
    assert not folder.exists()


def test_a_dry_run_runs_and_writes_nothing(command, capsys):
    words, folder = command
    assert main([*words, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "4 arms: 4 open" in out
    assert "operations" in out
    assert "one by one on this machine's CPU" in out
    assert "…" not in out
    assert not folder.exists()
    assert main([*words, "--dry-run", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [arm["basis"] for arm in content["arms"]] == ["operations"] * 4
    assert content["estimated_seconds"] == pytest.approx(sum(a["estimated_seconds"] for a in content["arms"]))


def test_a_dry_run_of_many_fields_fits_eighty_columns(inline, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["sweep", "example", "--dry-run", "--output", str(tmp_path / "new")]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    assert "batch size" in out
    words = ["sweep", "batch-size", "--source", "text:nowhere.txt", "--dry-run"]
    assert main([*words, "--output", str(tmp_path / "new")]) == 2
    assert "data.source: nowhere.txt is not allowed" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["sweep", "example", "--dry-run", "--output", str(tmp_path / "file")]) == 2
    assert "a folder that can be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["example", "--retries", "-1"], "retries: -1"),
        (["runs/exmaple"], "a folder with study.json"),
        (["example", "--watch", "--json"], "one of --watch and --json"),
    ],
)
def test_a_status_that_cannot_be(words, message, capsys):
    assert main(["status", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_dry_run_measures_time_on_finished_arms(command, capsys):
    words, folder = command
    assert main(words) == 0
    study = read_study(Path(words[1]))
    speeds = sorted(arm_state(folder, arm, 2).tokens_per_second for arm in study.arms()[:3])
    shutil.rmtree(arm_folder(folder, study.arms()[3].fingerprint))
    capsys.readouterr()
    assert main([*words, "--dry-run", "--json"]) == 0
    arms = json.loads(capsys.readouterr().out)["arms"]
    assert [arm["basis"] for arm in arms] == ["done", "done", "done", "measured"]
    assert arms[3]["estimated_seconds"] == pytest.approx(24 * 8 * 32 / speeds[1])


def test_status(command, text, cache, capsys):
    words, folder = command
    assert main(["status", words[1], "--output", str(folder)]) == 2
    assert "study.json yet" in capsys.readouterr().err
    assert main(words) == 0
    study = read_study(Path(words[1]))
    first, second, third, _ = (arm_folder(folder, arm.fingerprint) for arm in study.arms())
    for own in (second, third):
        (own / "result.json").unlink()
    (third / "attempts.jsonl").write_text('{"error": "no", "claim": "a"}\n' * 3 + '{"error": "cut o')
    (second / "claims" / "000002").write_text('{"host": "elsewhere", "kernel": "another"}\n000000000001\n')
    capsys.readouterr()
    for where in ([str(folder)], [words[1], "--output", str(folder)]):
        assert main(["status", *where, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)["arms"]
        assert [row["state"] for row in rows] == ["completed", "running", "failed", "completed"]
        assert rows[1]["heartbeat"] < 10
        assert (rows[1]["step"], rows[1]["steps"], rows[1]["eta"]) == (24, 24, 0)
        assert (rows[2]["failures"], rows[2]["error"]) == (3, "no")
        assert rows[0]["validation_loss"] == read_result(first)["final"]["validation_loss"]
    assert main(["status", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "4 arms: 1 failed, 2 completed, 1 running" in out
    loss = read_result(first)["final"]["validation_loss"]
    rows = [line.split() for line in out.splitlines()]
    assert ["1", f"{loss:.4f}", "failed"] in rows
    assert "24/24" in out
    assert main(["status", str(folder), "--retries", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["arms"][2]["state"] == "paused"


def test_watching_ends_with_the_last_arm(command, capsys):
    words, folder = command
    assert main(words) == 0
    begun = time.monotonic()
    assert main(["status", str(folder), "--watch"]) == 0
    assert time.monotonic() - begun < 1
    assert "4 arms: 4 completed" in capsys.readouterr().out


def test_workers_take_the_gpus_in_turn(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices = [worker.execution_of({"device": "auto"}, index).device for index in range(4)]
    assert devices == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert worker.execution_of({"device": "cuda:1"}, 0).device == "cuda:1"
    assert worker.execution_of({"device": "cpu"}, 1).device == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # as where Ray shows a worker only its own
    assert worker.execution_of({"device": "cuda"}, 3).device == "cuda"

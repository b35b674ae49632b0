from __future__ import annotations

import json

import pytest

from figures.results import load
from figures.step_time import draw
from figures.step_time_report import step_time_parts
from gradpower.__main__ import main

ROW = {
    "size": "1M",
    "parameters": 1_000_000,
    "base_seconds": 1e-3,
    "powered_seconds": 1.1e-3,
    "ratio": 1.1,
    "ratio_margin": 0.01,
    "copy_gb_per_second": 40.0,
    "base_gb_per_second": 28.0,
    "powered_gb_per_second": 25.5,
}
TRAINING = {
    "parameters": 1_000_000,
    "tokens": 2048,
    "share": 0.0005,
    "whole_seconds": 1.0,
    "base_seconds": 1e-3,
    "ratio_margin": 0.02,
}


LAUNCHES = {
    "optimizer": "AdamW, foreach",
    "layout": "sharded",
    "tensors": 300,
    "base_launches": 612,
    "powered_launches": 616,
    "base_seconds": 4e-3,
    "powered_seconds": 5e-3,
    "ratio": 1.25,
    "ratio_margin": 0.05,
}


def content(device="cpu", training=TRAINING, **changed):
    steps = [{**ROW, "implementation": name} for name in ("for-loop", "foreach")]
    steps.append({**ROW, "implementation": "fused", **changed})
    config = {"power": 1.2, "hardware": "2 cores", "device": device}
    return {"provenance": {"config": config}, "steps": steps, "training": training, "launches": [LAUNCHES]}


def test_the_verdict_follows_from_the_rows():
    met = "\n".join(step_time_parts(content()))
    assert "is met at every size." in met
    unsure = "\n".join(step_time_parts(content(ratio_margin=0.2)))
    assert "is met at every size by the medians; the intervals at 1.0M reach beyond it" in unsure
    assert "adds 0.050 ± 0.002 % to 1 s, below the paper's (our target of at most 0.1%: met)" in met
    missed = "\n".join(step_time_parts(content(ratio=2.3, training=TRAINING | {"share": 0.05})))
    assert "is missed at 1 of 1 sizes, by up to 100%" in missed
    assert "adds 5.000 ± 0.002 % to 1 s, above the paper's (our target of at most 0.1%: missed)" in missed
    vague = "\n".join(step_time_parts(content(training=TRAINING | {"ratio_margin": 5.0})))
    assert "0.050 ± 0.500 % to 1 s, not distinguishable from the paper's" in vague
    assert "(our target of at most 0.1%: not decided)" in vague
    assert "missed at 1 of 1 sizes, by up to 8%" in "\n".join(step_time_parts(content("cuda")))
    assert "| AdamW, foreach | FSDP2, 2 processes | 300 | 612 | 616 | 4 | 5 | 1.25 ± 0.05 |" in met
    assert "gradpower step-time" in step_time_parts(None)[1]


def test_what_is_drawn():
    ratios, bandwidths = draw(content()["steps"]).axes
    assert len(ratios.containers) == 3
    assert len(bandwidths.lines) == 7  # two optimizers for three implementations, and the copy


def test_command(tmp_path, capsys):
    flags = ["--size", "1M", "--model", "1M", "--rounds", "3", "--tensors", "12", "--output", str(tmp_path)]
    assert main(["step-time", *flags, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == load(tmp_path / "step_time.json", "step_time")
    assert {"torch", "transformers"} <= set(printed["provenance"]["versions"])
    assert [row["implementation"] for row in printed["steps"]] == ["for-loop", "foreach", "fused"]
    assert {(row["layout"], row["tensors"]) for row in printed["launches"]} == {
        ("plain", 12),
        ("sharded", 12),
    }
    assert all(row["powered_launches"] <= 2 * row["base_launches"] for row in printed["launches"])
    assert (tmp_path / "step_time.png").is_file()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--rounds", "2"], "rounds: 2"),
        (["--tensors", "0"], "tensors: 0"),
        (["--power", "-1"], "power: -1"),
        (["--size", "2M"], "size"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(tmp_path, capsys, flags, named):
    assert main(["step-time", *flags, "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_no_gpu_is_one_line(tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["step-time", "--device", "cuda", "--output", str(tmp_path)]) == 2
    assert "device: cuda is not allowed; expected cpu" in capsys.readouterr().err

"""Files of every kind that is read back, damaged at random: what was written, or one line that names the file.

JSON of runs and sweeps has its own test, tests/experiments/sweeps/test_reading.py.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.corpora.token_files import token_files
from experiments.noise.measurement import NOISE
from experiments.recipes.settings import DataSettings
from experiments.training.checkpoints import FILES, CorruptCheckpoint, load_checkpoint, save_checkpoint
from experiments.training.step_cost import STEP_COST
from figures.results import THEORY
from gradpower.tools.errors import InputError
from simulate.intervention.study import INTERVENTION
from simulate.questions import CONVERGENCE
from tests.damage import damage, holds
from tests.experiments.texts import write_text
from theory.laws import parse_law
from theory.measured.gradient_samples import GradientSamples

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
RESULTS = {
    "theory.json": THEORY,
    "convergence.json": CONVERGENCE,
    "step_time.json": STEP_COST,
    "intervention/intervention.json": INTERVENTION,
    "causes/noise.json": NOISE,
}
OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def outcome(read, path: Path):
    """What is read, or None where it is refused: in one line, with the name of the file or of the argument."""
    try:
        return read()
    except (InputError, CorruptCheckpoint) as error:
        message = str(error)
    assert str(path) in message or message.startswith("samples: ")
    assert len(message.splitlines()) == 1
    return None


def shortened(content):
    """A result with the first two rows of every list: so small that many damages can be tried."""
    if isinstance(content, dict):
        return {key: shortened(value) for key, value in content.items()}
    rows = isinstance(content, list) and all(isinstance(row, dict) for row in content)
    return [shortened(row) for row in content[:2]] if rows else content


@pytest.mark.parametrize("name", RESULTS)
@OFTEN
@given(data=st.data())
def test_a_damaged_result_is_read_as_it_is_or_refused(tmp_path, name, data):
    whole = json.dumps(shortened(json.loads((ROOT / "results" / name).read_text()))).encode()
    path = tmp_path / "result.json"
    path.write_bytes(whole)
    RESULTS[name].read(path)
    path.write_bytes(data.draw(damage(whole)))
    content = outcome(lambda: RESULTS[name].read(path), path)
    if content is not None:
        given, written = json.loads(path.read_bytes()), msgspec.to_builtins(content)
        assert all(holds(value, written[key]) for key, value in given.items() if key != "schema")


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@OFTEN
@given(data=st.data())
def test_a_damaged_checkpoint_is_what_was_saved_or_is_refused(tmp_path, name, data):
    weights = {"weight": torch.arange(12.0).view(3, 4), "bias": torch.ones(3)}
    state = {"optimizer": {0: {"step": torch.tensor(3.0)}}, "data": [{"position": 12}], "seconds": 1.5}
    path = save_checkpoint(tmp_path, 7, weights, state)
    (path / name).write_bytes(data.draw(damage((path / name).read_bytes())))
    found = outcome(lambda: load_checkpoint(path), path)
    if found is not None:
        step, read, rest = found
        assert (step, rest["data"], rest["seconds"]) == (7, state["data"], 1.5)
        assert all(torch.equal(read[key], weights[key]) for key in weights)
        assert torch.equal(rest["optimizer"][0]["step"], torch.tensor(3.0))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> tuple[DataSettings, Path]:
    """Settings, and their tokens."""
    folder = tmp_path_factory.mktemp("tokens")
    text = write_text(folder / "text", documents=60)
    made = DataSettings(source=f"text:{text}", tokenizer="bpe:300", validation_share=0.1)
    token_files(made, folder / "cache", lambda *_: None)
    return made, folder / "cache"


TOKENS = (
    "train.bin",
    "validation.bin",
    "train.starts.npy",
    "validation.starts.npy",
    "tokenizer.json",
    "about.json",
)


@pytest.mark.parametrize("name", TOKENS)
@OFTEN
@given(data=st.data())
def test_damaged_tokens_are_the_same_or_are_refused(cache, tmp_path, name, data):
    made, whole = cache
    expected = token_files(made, whole, lambda *_: None)
    shutil.copytree(whole, tmp_path / "cache", dirs_exist_ok=True)
    (folder,) = (tmp_path / "cache" / "tokens").iterdir()
    (folder / name).write_bytes(data.draw(damage((folder / name).read_bytes())))
    found = outcome(lambda: token_files(made, tmp_path / "cache", lambda *_: None), folder)
    if found is None:
        return
    assert found.tokenizer.digest == expected.tokenizer.digest
    assert found.about["text_sha256"] == expected.about["text_sha256"]
    for part in ("train", "validation"):
        read, written = getattr(found, part), getattr(expected, part)
        assert np.array_equal(read.values, written.values)
        assert np.array_equal(read.starts, written.starts)


def write_samples(path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(6, 3))
    if path.suffix == ".npz":
        np.savez_compressed(path, values=values)
    elif path.suffix == ".npy":
        np.save(path, values)
    else:
        np.savetxt(path, values, delimiter="," if path.suffix == ".csv" else " ")


@pytest.mark.parametrize("name", ["samples.npy", "samples.npz", "samples.csv", "samples.txt"])
@OFTEN
@given(data=st.data())
def test_damaged_samples_are_numbers_or_are_refused(tmp_path, name, data):
    path = tmp_path / name
    write_samples(path)
    GradientSamples.read(path)
    path.write_bytes(data.draw(damage(path.read_bytes())))
    found = outcome(lambda: GradientSamples.read(path), path)
    assert found is None or np.isfinite(found.samples).all()
    if path.suffix in (".npy", ".txt"):
        law = outcome(lambda: parse_law(f"empirical:{path}"), path)
        assert law is None or np.isfinite(law.samples).all()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (10**12, 1000)}",
        "{'descr': '|O', 'shape': (3,)}",
        "[",
    ],
    ids=["more than memory", "objects", "no header"],
)
def test_headers_that_promise_too_much(tmp_path, header):
    path = tmp_path / "samples.npy"
    text = header.replace("10**12", str(10**12)).ljust(117).encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"abc")
    with pytest.raises(InputError, match=r"samples: .*numbers in a \.npy"):
        GradientSamples.read(path)
    with pytest.raises(InputError, match="readable"):
        parse_law(f"empirical:{path}")

"""Measured gradients from every kind of file, streamed, and every file that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest

from gradpower.__main__ import main
from gradpower.tools.errors import InputError
from theory.measured.estimates import estimate_assumptions
from theory.measured.gradient_samples import GradientSamples

SAMPLES = np.array([[1.0, -2.0], [0.5, 3.0], [2.0, -1.5], [1.0, 0.25]])


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".txt", ".csv"])
@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "i4"])
def test_every_file_format(tmp_path, suffix, dtype):
    path = tmp_path / f"samples{suffix}"
    samples = SAMPLES.astype(dtype)
    if suffix == ".npy":
        np.save(path, samples)
    elif suffix == ".npz":
        np.savez(path, g=samples, other=np.ones(3))
    else:
        separator = "," if suffix == ".csv" else "  "
        lines = [separator.join(map(str, row)) for row in samples.tolist()]
        path.write_text("# a comment\n\n" + "\n".join(lines) + " # the end\n")
    data = GradientSamples.read(path, array="g" if suffix == ".npz" else None)
    np.testing.assert_array_equal(data.samples, samples)
    assert (data.count, data.coordinates) == (4, 2)
    assert estimate_assumptions(data).mean.dtype == np.float64


def test_one_dimension_means_one_coordinate(tmp_path):
    np.save(tmp_path / "g.npy", np.arange(5.0))
    assert GradientSamples.read(tmp_path / "g.npy").coordinates == 1
    np.savez_compressed(tmp_path / "g.npz", np.arange(5.0))
    assert GradientSamples.read(tmp_path / "g.npz").count == 5


def test_a_gradient_from_a_file(tmp_path):
    np.save(tmp_path / "g.npy", SAMPLES)
    (tmp_path / "full.txt").write_text("1.0 0.5\n")
    data = GradientSamples.read(tmp_path / "g.npy", tmp_path / "full.txt")
    np.testing.assert_array_equal(data.gradient, [1.0, 0.5])
    (tmp_path / "full.txt").write_text("1.0\n0.5\n")
    np.testing.assert_array_equal(
        GradientSamples.read(tmp_path / "g.npy", tmp_path / "full.txt").gradient, [1, 0.5]
    )


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_memory_mapped_file_equals_the_array(tmp_path, order, monkeypatch):
    samples = np.asarray(0.3 + np.random.default_rng(19).normal(size=(300, 9000)), dtype="f4", order=order)
    np.save(tmp_path / "g.npy", samples)
    whole = estimate_assumptions(GradientSamples(samples.astype("f8")))
    monkeypatch.setattr("theory.measured.gradient_samples._TILE", 2**16)
    mapped = GradientSamples.read(tmp_path / "g.npy")
    assert isinstance(mapped.samples, np.memmap)
    assert len(mapped.blocks()) > 1
    seen = []
    tiled = estimate_assumptions(mapped, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(mapped.blocks()),) * 2
    for a, b in zip(whole.powers, tiled.powers, strict=True):
        np.testing.assert_allclose(a.lower, b.lower, rtol=1e-8)
        np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-10)
        np.testing.assert_allclose(a.upper, b.upper, rtol=1e-8)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.ones((1, 5)), r"samples: shape \(1, 5\) .* at least 2 samples"),
        (np.ones((2, 3, 4)), r"samples: shape \(2, 3, 4\)"),
        (np.ones((5, 0)), r"samples: shape \(5, 0\)"),
        (np.array(1.0), r"samples: shape \(\)"),
        (np.ones((4, 2), complex), "samples: complex128 .* real numbers"),
        (np.ones((4, 2), bool), "samples: bool"),
        (np.array([["1"], ["2"], ["3"]]), "samples: <U1"),
        (np.where(np.eye(4) > 0, np.nan, 1)[1:], "samples: nan in row 1, column 2"),
        (np.array([[1.0, 2], [3, 4], [5, -np.inf]]), "samples: -inf in row 3, column 2"),
    ],
)
def test_bad_samples(samples, message):
    with pytest.raises(InputError, match=message):
        GradientSamples(samples)


def test_the_place_of_a_bad_number_in_a_large_array(monkeypatch):
    monkeypatch.setattr("theory.measured.gradient_samples._TILE", 2**13)
    samples = np.ones((50, 9000), "f4")
    samples[30, 8000] = np.nan
    with pytest.raises(InputError, match="nan in row 31, column 8001"):
        GradientSamples(samples)


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (np.ones(3), r"gradient: shape \(3,\) .* each of the 2 coordinates"),
        (np.array([1.0, np.nan]), "gradient: nan in place 2"),
        (np.ones(2, complex), "gradient: complex128"),
    ],
)
def test_bad_gradients(gradient, message):
    with pytest.raises(InputError, match=message):
        GradientSamples(SAMPLES, gradient)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.npy", None, "No such file"),
        ("g.npy", b"not numpy", "numbers in a .npy"),
        ("g.npy", b"", "numbers in a .npy"),
        ("g.npz", b"PK\x03\x04 not a zip", "numbers in a .npy"),
        ("g.pkl", b"", "numbers in a .npy"),
        ("g.txt", b"", "at least 2 samples"),
        ("g.txt", b"1 2\n3\n4 5", "columns changed from 2 to 1 at row 2"),
        ("g.csv", b"w1,w2\n1,2\n3,4", "'w1' to float64 at row 0"),
        ("g.csv", b"1,2\n3,\n5,6", "'' to float64 at row 1"),
        ("g.txt", b"\xff\xfe", "numbers in a .npy"),
        ("g.csv", b"1,2\nnan,4\n5,6", "nan in row 2, column 1"),
    ],
)
def test_bad_files_make_one_line(tmp_path, capsys, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert main(["theory", "measured-assumptions", "--samples", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gradpower: error: samples: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_pickled_objects_are_refused(tmp_path):
    for name, save in (("g.npy", np.save), ("g.npz", np.savez)):
        save(tmp_path / name, np.array([{}, 1, 2], dtype=object))
        with pytest.raises(InputError, match="no pickled objects"):
            GradientSamples.read(tmp_path / name)


def test_arrays_are_named(tmp_path):
    np.savez(tmp_path / "g.npz", a=SAMPLES, b=SAMPLES)
    np.save(tmp_path / "g.npy", SAMPLES)
    for path, array, message in [
        ("g.npz", None, "array: no name .* one of a, b"),
        ("g.npz", "c", "array: c .* one of a, b"),
        ("g.npy", "a", "array: a .* for an .npz file only"),
    ]:
        with pytest.raises(InputError, match=message):
            GradientSamples.read(tmp_path / path, array=array)


def test_samples_that_are_all_zero_are_refused():
    with pytest.raises(InputError, match="not all 0"):
        GradientSamples(np.zeros((10, 3)))

"""Local text: reading, splitting, tokenizing, caching, and the order of sequences."""

from __future__ import annotations

import gzip
import json
import lzma
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from experiments.corpora import IGNORED, open_data
from experiments.corpora.documents import documents, text_files
from experiments.corpora.token_files import hash_of, token_files
from experiments.corpora.tokenization import from_file, train_bpe
from experiments.recipes.settings import DataSettings
from gradpower.tools.errors import InputError
from tests.experiments.texts import write_text

pytestmark = pytest.mark.slow


def settings(text: Path, **changes) -> DataSettings:
    made = DataSettings(
        source=f"text:{text}",
        tokenizer="bpe:300",
        sequence_length=32,
        validation_share=0.1,
        validation_sequences=12,
    )
    return replace(made, **changes)


def opened(made: DataSettings, cache: Path, **changes):
    return open_data(made, **{"seed": 0, "sequences": 8, "vocabulary": 300, "cache": cache} | changes)


TEXTS = ["First paragraph,\nin two lines.", "Zweiter, mit ß und 漢字.", "Third."]


def write_as(folder: Path, kind: str) -> Path:
    path = folder / f"text{kind}"
    blocks = ("\n\n\n".join(TEXTS) + "\n").encode()
    lines = "".join(json.dumps({"text": t, "url": "x"}) + "\n" for t in TEXTS).encode()
    if kind == ".parquet":
        pq.write_table(pa.table({"text": TEXTS, "other": [1, 2, 3]}), path)
        return path
    content = lines if ".json" in kind else blocks
    pack = {
        ".gz": gzip.compress,
        ".xz": lzma.compress,
        ".zst": lambda c: pa.compress(c, "zstd", asbytes=True),
    }
    path.write_bytes(pack.get(path.suffix, bytes)(content))
    return path


@pytest.mark.parametrize(
    "kind",
    [".txt", ".txt.gz", ".txt.xz", ".txt.zst", ".jsonl", ".jsonl.gz", ".json.gz", ".jsonl.zst", ".parquet"],
)
def test_every_kind_of_file_gives_its_documents(tmp_path, kind):
    path = write_as(tmp_path, kind)
    assert list(documents(text_files(f"text:{path}"))) == TEXTS
    assert list(documents(text_files(f"text:{tmp_path}"))) == TEXTS


def test_a_file_as_one_document(tmp_path):
    path = write_as(tmp_path, ".txt")
    (whole,) = documents(text_files(f"text:{path}"), "file")
    assert whole.split("\n\n\n") == [*TEXTS[:2], TEXTS[2] + "\n"]


def test_several_paths_in_their_order(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(name)
    assert list(documents(text_files(f"text:{tmp_path}/b.txt,{tmp_path}/a.txt"))) == ["b", "a"]
    assert list(documents(text_files(f"text:{tmp_path}"))) == ["a", "b"]


def test_python_source_is_a_sample_of_installed_code():
    few, more = text_files("python-source", megabytes=0.5), text_files("python-source", megabytes=1.0)
    assert more[: len(few)] == few
    assert 0.5e6 <= sum(p.stat().st_size for p in few) <= 1.5e6
    assert all(p.suffix == ".py" for p in more)
    assert len({p.parts[-2] for p in more}) > 10


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pdf", b"x", "a .txt, .jsonl"),
        ("a.txt", b"\xff\xfe\xff", "a readable file"),
        ("a.txt.gz", b"no gzip", "a readable file"),
        ("a.txt.xz", b"no xz", "a readable file"),
        ("a.txt.zst", b"no zstd", "a readable file"),
        ("a.jsonl", b"{broken", "a readable file"),
        ("a.jsonl", b'{"body": "x"}', 'every row has a field "text"'),
        ("a.jsonl", b'{"text": "\\ud800"}', "a readable file"),
        ("a.jsonl", b'{"text": 1}', "of characters or null"),
        ("a.parquet", b"no parquet", "a readable file"),
        *(("a.parquet", {"text": value}, "of characters or null") for value in ([1], [[1]], [b"x"])),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        pq.write_table(pa.table(content), tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        list(documents(text_files(f"text:{tmp_path / name}")))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_validation_file_is_named_as_such(text, cache, tmp_path):
    (tmp_path / "held.jsonl").write_text("{broken")
    with pytest.raises(InputError, match=r"data\.validation_source: .*held\.jsonl"):
        opened(settings(text, validation_source=f"text:{tmp_path / 'held.jsonl'}"), cache)


@pytest.mark.parametrize(
    "source", ["text:nowhere", "text:", "text:{file},", "text:{file},,{file}", "text:{pipe}"]
)
def test_paths_that_are_none(tmp_path, source):
    """A trailing comma would add the whole working folder; reading a pipe would never end."""
    with pytest.raises(InputError, match="a folder that holds"):
        text_files(f"text:{tmp_path}")
    (tmp_path / "a.txt").write_text("a")
    os.mkfifo(tmp_path / "pipe.txt")
    source = source.format(file=tmp_path / "a.txt", pipe=tmp_path / "pipe.txt")
    with pytest.raises(InputError, match="the path of a file or folder that exists"):
        text_files(source)


def test_a_mark_at_the_head_of_a_file_is_no_text(tmp_path):
    for name in ("a.txt", "b.jsonl"):
        content = "x" if name == "a.txt" else json.dumps({"text": "x"})
        (tmp_path / name).write_text(content, encoding="utf-8-sig")
    assert list(documents(text_files(f"text:{tmp_path}"))) == ["x", "x"]


def test_rows_without_text_are_the_same_in_every_format(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": null}\n{"text": "x"}\n')
    pq.write_table(pa.table({"text": [None, "x"]}), tmp_path / "b.parquet")
    assert list(documents(text_files(f"text:{tmp_path}"))) == ["x", "x"]


@pytest.mark.parametrize("copies", [1, 2])
def test_no_document_is_on_both_sides_nor_twice_in_validation(text, cache, tmp_path, copies):
    (tmp_path / "text.txt").write_text("\n\n".join([text.read_text()] * copies))
    files = token_files(settings(tmp_path / "text.txt"), cache, Mock())
    train, held = (
        [tuple(part.document(i).tolist()) for i in range(len(part.starts) - 1)]
        for part in (files.train, files.validation)
    )
    assert not set(train) & set(held)
    assert len(set(train)) + len(held) == 400
    assert len(train) == copies * len(set(train))
    assert len(held) == pytest.approx(40, abs=20)  # binomial, 6 a standard deviation


def test_validation_text_of_its_own_is_not_trained_on(tmp_path, cache):
    train = write_text(tmp_path / "a", documents=100).read_text().split("\n\n")
    (tmp_path / "held.txt").write_text("\n\n".join([*train[:5], "something else " * 30]))
    made = settings(tmp_path / "a" / "text.txt", validation_source=f"text:{tmp_path / 'held.txt'}")
    files = token_files(made, cache, Mock())
    assert len(files.train.starts) - 1 == 95
    assert len(files.validation.starts) - 1 == 6


def test_tokens_decode_to_the_text(text, cache):
    files = token_files(settings(text), cache, Mock())
    backend = files.tokenizer.backend
    kept = [t for t in text.read_text().split("\n\n") if int.from_bytes(hash_of(t)[:8], "big") >= 0.1 * 2**64]
    assert [backend.decode(files.train.document(i).tolist()) for i in range(len(kept))] == kept
    ends = files.train.values[files.train.starts[1:] - 1]
    assert set(ends.tolist()) == {files.tokenizer.end}
    assert files.tokenizer.end not in files.train.document(0)


def test_bpe_is_learnt_from_the_text_alone(tmp_path):
    texts = ["the cat sat on the mat, the hat"] * 20
    first, again = (train_bpe(265, texts, tmp_path / f"{n}.json") for n in "ab")
    assert first.digest == again.digest
    assert first.size == 265
    ids = first.encode(["the mat", "€"])
    assert len(ids[0]) < len("the mat")
    assert [first.backend.decode(one) for one in ids] == ["the mat", "€"]
    with pytest.raises(InputError, match="bpe:5000"):
        train_bpe(5000, texts, tmp_path / "c.json")


def test_a_tokenizer_from_a_file(text, cache, tmp_path):
    trained = train_bpe(290, documents(text_files(f"text:{text}")), tmp_path / "tokenizer.json")
    data = opened(settings(text, tokenizer=f"file:{tmp_path / 'tokenizer.json'}"), cache)
    assert data.description["vocabulary"] == trained.size == 290
    for content, message in [("{}", "can be read"), (None, "exists")]:
        bad = tmp_path / "bad.json"
        if content:
            bad.write_text(content)
        with pytest.raises(InputError, match=message):
            opened(settings(text, tokenizer=f"file:{bad}"), cache)
        bad.unlink(missing_ok=True)


def test_tokenizers_without_an_end_are_refused(tmp_path):
    import tokenizers

    plain = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={"a": 0, "b": 1}, merges=[]))
    plain.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="an end of text"):
        from_file(tmp_path / "tokenizer.json")


def test_sequences_are_cut_from_the_joined_documents(text, cache):
    data = opened(settings(text), cache, sequences=100)
    joined = np.asarray(data.files.train.values)
    starts = set()
    for _ in range(10):
        batch = data.next_batch(10)
        assert batch.inputs.shape == batch.targets.shape == (10, 32)
        assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        for row, last in zip(batch.inputs.numpy(), batch.targets[:, -1].tolist(), strict=True):
            places = [i for i in range(0, len(joined) - 32, 32) if np.array_equal(joined[i : i + 32], row)]
            assert any(joined[i + 32] == last for i in places)
            starts.update(places[:1])
    assert len(starts) == 100  # no sequence twice in an epoch


def test_an_epoch_takes_every_sequence_once_and_the_next_another_order(text, cache):
    made = settings(text, epochs=2.0)
    count = opened(made, cache).available
    data = opened(made, cache, sequences=2 * count)
    orders = [[data._shuffled(i + e * count) for i in range(count)] for e in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(count))
    assert orders[0] != orders[1]


def test_the_order_is_the_seeds_and_not_the_batch_sizes_or_ranks(text, cache):
    def rows(batch_size: int, ranks: int = 1, seed: int = 0) -> torch.Tensor:
        parts = [
            opened(settings(text), cache, seed=seed, sequences=24, rank=r, ranks=ranks) for r in range(ranks)
        ]
        steps = [[part.next_batch(batch_size).inputs for part in parts] for _ in range(24 // batch_size)]
        return torch.cat([share for step in steps for share in step])

    assert torch.equal(rows(8), rows(24))
    assert torch.equal(rows(8), rows(8, ranks=2))
    assert not torch.equal(rows(8), rows(8, seed=1))


@pytest.mark.parametrize("packed", [True, False])
def test_a_position_is_come_back_to(text, cache, packed):
    made = settings(text, packed=packed, sequence_length=200)
    data = opened(made, cache)
    data.next_batch(4)
    state = json.loads(json.dumps(data.state()))
    expected = data.next_batch(4)
    again = opened(made, cache)
    again.restore(state)
    for a, b in zip(again.next_batch(4), expected, strict=True):
        assert torch.equal(a, b)


def test_one_document_a_row(text, cache):
    data = opened(settings(text, packed=False, sequence_length=200), cache)
    batch, tokenizer = data.next_batch(6), data.files.tokenizer
    for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
        used = int((targets != IGNORED).sum())
        assert inputs[used] == tokenizer.end  # cut or not, every row is ended
        assert torch.equal(targets[:used], inputs[1 : used + 1])
        assert (inputs[used + 1 :] == tokenizer.padding).all()
        assert (targets[used:] == IGNORED).all()


def test_validation_is_fixed(text, cache):
    first = opened(settings(text), cache)
    other = opened(settings(text), cache, seed=9, sequences=16)
    assert torch.equal(first.validation.inputs, other.validation.inputs)
    assert first.validation.inputs.shape == (12, 32)
    tokens = first.files.validation
    places = range(0, len(tokens.values) - 32, 32)
    for row, number in zip(first.validation.inputs, first.validation_documents, strict=True):
        (place,) = (i for i in places if np.array_equal(tokens.values[i : i + 32], row))
        assert tokens.starts[number] <= place < tokens.starts[number + 1]
    assert first.fingerprint == other.fingerprint
    assert first.description == other.description


def test_the_cache_follows_the_content(tmp_path):
    cache, text = tmp_path / "cache", write_text(tmp_path / "text", documents=60)
    first = opened(settings(text), cache)
    made = sorted((cache / "tokens").iterdir())
    moved = tmp_path / "elsewhere.txt"
    moved.write_bytes(text.read_bytes())
    assert opened(settings(moved), cache).description["text_sha256"] == first.description["text_sha256"]
    assert sorted((cache / "tokens").iterdir()) == made  # the same tokens, not made again
    text.write_text(text.read_text() + "\n\nOne more.")
    assert opened(settings(text), cache).fingerprint != first.fingerprint


def make_tokens(text: str, cache: str, megabytes: float) -> str:
    return opened(settings(Path(text), megabytes=megabytes), Path(cache)).fingerprint


def test_processes_make_the_same_tokens_at_once(tmp_path):
    """Other settings, each with a lock of its own, but the same text and so the same files."""
    text = write_text(tmp_path / "text", documents=100)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=spawn) as pool:
        for trial in range(2):
            cache = str(tmp_path / f"cache{trial}")
            made = pool.map(make_tokens, [str(text)] * 3, [cache] * 3, (50.0, 60.0, 70.0))
            assert len(set(made)) == 1
            assert not list(Path(cache).glob(".unfinished*"))


def truncated(content: bytes) -> bytes:
    return content[:100]


def with_a_flipped_bit(content: bytes) -> bytes:
    return content[:300] + bytes([content[300] ^ 1]) + content[301:]


@pytest.mark.parametrize("damage", [truncated, with_a_flipped_bit, lambda content: b""])
@pytest.mark.parametrize(
    "name", ["train.bin", "validation.bin", "train.starts.npy", "tokenizer.json", "about.json"]
)
def test_a_damaged_cache_is_noticed_in_one_line(tmp_path, name, damage):
    cache, text = tmp_path / "cache", write_text(tmp_path / "text", documents=60)
    opened(settings(text), cache)
    (folder,) = (cache / "tokens").iterdir()
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(InputError, match="remove this folder") as caught:
        opened(settings(text), cache)
    assert "\n" not in str(caught.value)


def test_what_a_killed_tokenization_left_is_removed_in_time(tmp_path):
    cache, text = tmp_path / "cache", write_text(tmp_path / "text", documents=60)
    old, recent = cache / ".unfinished-old", cache / ".unfinished-recent"
    for folder in (old, recent):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    opened(settings(text), cache)
    assert not old.exists()
    assert recent.exists()


def test_too_little_text_says_how_much_is_missing(text, cache):
    there = opened(settings(text), cache).available
    with pytest.raises(InputError, match=f"there are {there * 32} for data.epochs = 1, {32 * 5} too few"):
        opened(settings(text), cache, sequences=there + 5)
    opened(settings(text, epochs=1.5), cache, sequences=there + 5)


@pytest.mark.parametrize(
    ("changes", "opening", "message"),
    [
        (
            {"packed": False, "sequence_length": 5000},
            {},
            r"data\.sequence_length: 5000 .*the longest document",
        ),
        ({"sequence_length": 30_000}, {"sequences": 1}, r"data\.validation_share"),
        ({"validation_share": 1e-9}, {}, "documents on both sides"),
        ({}, {"vocabulary": 200}, r"model\.vocabulary: 200 .* at least 300"),
        ({"tokenizer": "bpe:200000"}, {"vocabulary": 200_000}, "a smaller SIZE"),
    ],
)
def test_settings_that_do_not_fit_the_text(text, cache, changes, opening, message):
    with pytest.raises(InputError, match=message) as caught:
        opened(settings(text, **changes), cache, **opening)
    assert "\n" not in str(caught.value)


def test_only_so_much_text(text, cache):
    whole = opened(settings(text), cache).description
    part = opened(settings(text, megabytes=0.05), cache).description
    read = part["train_bytes"] + part["validation_bytes"]
    assert 0.05e6 <= read < 0.06e6 < whole["train_bytes"]

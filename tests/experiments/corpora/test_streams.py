"""C4 and OpenWebText from small local copies in the hub's own formats."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from experiments.corpora import IGNORED, Batch, open_data
from experiments.corpora.token_files import is_held_out
from experiments.corpora.tokenization import train_bpe
from experiments.recipes.settings import DataSettings
from experiments.training.checkpoints import load_checkpoint, save_checkpoint
from gradpower.tools.errors import InputError
from tests.experiments.texts import write_text

pytestmark = pytest.mark.slow

FILES, DOCUMENTS = 5, 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Copies of both sources, and a tokenizer."""
    folder = tmp_path_factory.mktemp("hub")
    texts = write_text(folder, documents=(FILES + 1) * DOCUMENTS).read_text().split("\n\n")
    parts = [texts[i * DOCUMENTS : (i + 1) * DOCUMENTS] for i in range(FILES + 1)]
    (folder / "en").mkdir()
    (folder / "plain_text").mkdir()
    for index, part in enumerate(parts):
        split, number = ("train", index) if index < FILES else ("validation", 0)
        with gzip.open(folder / "en" / f"c4-{split}.{number:05d}-of-01024.json.gz", "wt") as file:
            for text in part:
                row = {"text": text, "timestamp": "2019-04-25T12:57:54Z", "url": "http://example.org"}
                file.write(json.dumps(row) + "\n")
        pq.write_table(
            pa.table({"text": part}), folder / "plain_text" / f"train-{index:05d}-of-00080.parquet"
        )
    train_bpe(300, texts, folder / "tokenizer.json")
    return folder


def settings(folder: Path, name: str = "c4", **changes) -> DataSettings:
    made = DataSettings(
        source=f"{name}:{folder}",
        tokenizer=f"file:{folder / 'tokenizer.json'}",
        sequence_length=64,
        validation_sequences=8,
        validation_share=0.1,
        shuffle_window=40,
    )
    return replace(made, **changes)


def opened(made: DataSettings, **changes):
    return open_data(made, **{"seed": 0, "sequences": 8, "vocabulary": 300} | changes)


def equal(first: Batch, second: Batch) -> bool:
    return all(map(torch.equal, first, second))


def texts_read(data, rows: int) -> list[str]:
    """Documents of unpacked rows, as text."""
    batch = data.next_batch(rows * data.ranks)
    ends = [int((t != IGNORED).sum()) for t in batch.targets]
    return [data.tokenizer.backend.decode(r[:n].tolist()) for r, n in zip(batch.inputs, ends, strict=True)]


@pytest.mark.parametrize("name", ["c4", "openwebtext"])
def test_every_document_once_in_another_order_for_every_seed(folder, name):
    made = settings(folder, name, packed=False, sequence_length=700)
    all_texts = (folder / "text.txt").read_text().split("\n\n")
    read = {"c4": all_texts[: FILES * DOCUMENTS], "openwebtext": all_texts}[name]
    expected = [t for t in read if name == "c4" or not is_held_out(t, 0.1)]
    orders = [texts_read(opened(made, seed=seed), len(expected)) for seed in (0, 0, 1)]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(expected)
    assert orders[0] == orders[1] != orders[2]
    data = opened(made)
    texts_read(data, len(expected))
    with pytest.raises(InputError, match="all its documents are used up"):
        data.next_batch(1)


def test_packed_sequences_are_the_joined_documents(folder):
    data = opened(settings(folder))
    pieces = [data.next_batch(4) for _ in range(10)]
    joined = torch.cat([b.inputs.flatten() for b in pieces])
    assert torch.equal(torch.cat([b.targets.flatten() for b in pieces])[:-1], joined[1:])
    whole = opened(settings(folder, packed=False, sequence_length=700))
    texts = texts_read(whole, 30)
    ends = data.tokenizer.end
    expected = [i for t in texts for i in (*data.tokenizer.encode([t])[0], ends)]
    assert joined.tolist() == expected[: len(joined)]


@pytest.mark.parametrize("name", ["c4", "openwebtext"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("before", [0, 1, 7, 13])
def test_resumed_exactly(folder, tmp_path, name, packed, before):
    made = settings(folder, name, packed=packed, sequence_length=64 if packed else 700, epochs=3.0)
    data = opened(made)
    for _ in range(before):
        data.next_batch(16)
    path = save_checkpoint(tmp_path, before, {}, {"data": data.state()})
    expected = [data.next_batch(16) for _ in range(12)]
    again = opened(made)
    again.restore(load_checkpoint(path)[2]["data"])
    assert all(map(equal, expected, (again.next_batch(16) for _ in expected)))


@pytest.mark.parametrize("name", ["c4", "openwebtext"])
@pytest.mark.parametrize("packed", [True, False])
def test_resumed_again_and_again_within_one_window(folder, name, packed):
    made = settings(folder, name, packed=packed, sequence_length=64 if packed else 700, epochs=3.0)
    data = opened(made)
    expected = [data.next_batch(4) for _ in range(14)]
    # Positions that follow one another within a window and across windows, each taken before any row is read.
    state = opened(made).state()
    for batch in expected:
        again = opened(made)
        again.restore(state)
        again.restore(again.state())
        assert equal(again.next_batch(4), batch)
        state = again.state()


def test_ranks_share_the_documents_out(folder):
    made = settings(folder, packed=False, sequence_length=700)
    shares = [opened(made, rank=r, ranks=2) for r in range(2)]
    read = [texts_read(data, count) for data, count in zip(shares, (180, 120), strict=True)]
    assert not set(read[0]) & set(read[1])
    assert len(set(read[0]) | set(read[1])) == FILES * DOCUMENTS
    with pytest.raises(InputError, match=f"ranks: {FILES + 1} .* at most {FILES}"):
        opened(made, rank=0, ranks=FILES + 1)


@pytest.mark.parametrize("name", ["c4", "openwebtext"])
def test_validation_is_fixed_and_not_trained_on(folder, name):
    made = settings(folder, name, packed=False, sequence_length=700)
    first, other = opened(made), opened(made, seed=5, rank=1, ranks=2)
    assert torch.equal(first.validation.inputs, other.validation.inputs)
    assert len(first.validation.inputs) == 8
    assert first.validation_documents.tolist() == list(range(8))
    held = {tuple(row.tolist()) for row in first.validation.inputs}
    trained = {tuple(row.tolist()) for row in first.next_batch(280).inputs}
    assert not held & trained


@pytest.mark.parametrize("name", ["c4", "openwebtext"])
def test_documents_of_packed_validation_sequences(folder, name):
    """Whole sequences, cut at the ends of documents: the number rises where an end was passed."""
    data = opened(settings(folder, name))
    joined = data.validation.inputs.flatten().tolist()
    ends = [place for place, token in enumerate(joined) if token == data.tokenizer.end]
    expected = [sum(end < start for end in ends) for start in range(0, len(joined), 64)]
    assert data.validation_documents.tolist() == expected
    assert 0 < expected[-1] < 7


@pytest.mark.parametrize("name", ["c4", "openwebtext"])
def test_another_file_is_other_data(folder, tmp_path, name):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    before = opened(settings(tmp_path, name)).fingerprint
    assert opened(settings(tmp_path, name)).fingerprint == before
    # One byte of its end, as of the checksum of a .gz, or of a column's statistics: name and size stay.
    file = next(tmp_path.rglob("*train*00003-of-01024*" if name == "c4" else "train-00003-of-00080*"))
    content = bytearray(file.read_bytes())
    place = len(content) - 8 if name == "c4" else content.index(b"parquet-cpp")
    content[place] ^= 1
    file.write_bytes(content)
    assert opened(settings(tmp_path, name)).fingerprint != before


def test_without_the_network_the_alternatives_are_named(folder, monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    for changes, message in [
        ({"source": "c4"}, "data.source: c4 .*c4:FOLDER of its files, text:PATH or python-source"),
        ({"source": "openwebtext"}, "openwebtext:FOLDER"),
        ({"tokenizer": "t5"}, "data.tokenizer: t5 .*google-t5/t5-base.*file:PATH"),
        ({"tokenizer": "gpt2"}, "data.tokenizer: gpt2 .*file:PATH"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            opened(settings(folder, **changes), vocabulary=50_304)
        assert "\n" not in str(caught.value)


def test_copies_that_are_none(tmp_path, folder):
    for name, pattern in [("c4", r"c4-train\.\*\.json\.gz"), ("openwebtext", r"\*\.parquet")]:
        with pytest.raises(InputError, match=pattern):
            opened(replace(settings(folder), source=f"{name}:{tmp_path}"))
    with pytest.raises(InputError, match="for a streamed source"):
        opened(settings(folder, tokenizer="bpe:300"))

"""Tokenizers: the paper's two, a byte-level BPE trained on the spot, or one from a file."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradpower.tools.errors import InputError, require
from gradpower.tools.files import write_file

END = "<|endoftext|>"
HUB = {"t5": "google-t5/t5-base", "gpt2": "openai-community/gpt2"}  # where the paper's two are
_ENDS = (END, "</s>", "<eos>", "<|end_of_text|>", "[SEP]")
_PADDINGS = ("<pad>", "[PAD]")
_TRAINING_BYTES = 20_000_000  # of text, from which merges are learnt


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer with the tokens after a document and to fill rows; `digest` is the SHA-256 of its file."""

    backend: Any
    end: int
    padding: int
    digest: str

    @property
    def size(self) -> int:
        """Number of tokens."""
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the tokens of each text, without special ones."""
        encoded = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        return [one.ids for one in encoded]


def from_file(path: Path) -> Tokenizer:
    """Return the tokenizer in a tokenizer.json; without a token for padding, that of the end fills rows.

    Raises InputError if the file is none, or has no token for the end of a document.
    """
    import tokenizers

    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust library has no narrower type
        raise InputError("data.tokenizer", path, f"a tokenizer.json that can be read ({error})") from None
    tokens = ([backend.token_to_id(word) for word in words] for words in (_ENDS, _PADDINGS))
    ends, paddings = ([token for token in own if token is not None] for own in tokens)
    require(ends, "data.tokenizer", path, f"a tokenizer with an end of text: {', '.join(_ENDS)}")
    return Tokenizer(backend, ends[0], (paddings or ends)[0], hashlib.sha256(path.read_bytes()).hexdigest())


def named_tokenizer(name: str) -> Tokenizer:
    """Return the tokenizer of data.tokenizer that is not trained: file:PATH, or the paper's t5 or gpt2 from the hub."""
    kind, _, path = name.partition(":")
    if kind == "file":
        return from_file(Path(path))
    from huggingface_hub import hf_hub_download

    try:
        there = hf_hub_download(HUB[name], "tokenizer.json")
    except Exception:  # every kind of network trouble, from four libraries
        allowed = (
            f"a network connection, or a copy of {HUB[name]} in the Hugging Face cache; "
            "without them: file:PATH of its tokenizer.json, or bpe:SIZE on local text"
        )
        raise InputError("data.tokenizer", name, allowed) from None
    return from_file(Path(there))


def first_bytes(texts: Iterable[str], limit: float) -> Iterator[str]:
    """Yield texts until they hold `limit` bytes.

    >>> list(first_bytes(["aa", "bb", "cc"], 3))
    ['aa', 'bb']
    """
    seen = 0
    for text in texts:
        yield text
        seen += len(text.encode())
        if seen >= limit:
            return


def train_bpe(size: int, texts: Iterable[str], path: Path) -> Tokenizer:
    r"""Learn a byte-level BPE of `size` tokens from the first 20 MB of `texts`, write it to `path` and return it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tokenizer = train_bpe(260, ["aaab aaab"], Path(folder) / "tokenizer.json")
    >>> tokenizer.size, tokenizer.backend.decode(tokenizer.encode(["a ß\n"])[0])
    (260, 'a ß\n')
    """
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer: Any = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(first_bytes(texts, _TRAINING_BYTES), trainer)
    allowed = "more text, or a smaller SIZE: there are too few words"
    require(tokenizer.get_vocab_size() >= size, "data.tokenizer", f"bpe:{size}", allowed)
    write_file(path, tokenizer.to_str())
    return from_file(path)

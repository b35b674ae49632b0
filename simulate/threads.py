"""Blocks of a simulation in threads, with one report of their progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import TypeVar

from gradpower.tools.errors import whole
from gradpower.tools.terminal import Progress

Block = TypeVar("Block")
Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
Counted = Callable[[Iterable[Chunk]], Iterator[Chunk]]


def thread_count(threads: int | None) -> int:
    """Return `threads` if it is a number of them, all cores if it is None."""
    return os.cpu_count() or 1 if threads is None else whole("threads", threads)


def run_blocks(
    run: Callable[[Counted[Chunk], Block], Result],
    blocks: Sequence[Block],
    chunks: int,
    threads: int,
    progress: Progress | None,
) -> list[Result]:
    """Return `run(counted, block)` for every block; its loop over a block's `chunks` chunks goes through `counted`.

    progress(done, total) is called after every chunk, by one thread at a time. An error in any thread, that call
    included, ends all of them.
    """
    total, done, lock = len(blocks) * chunks, 0, Lock()
    errors: list[BaseException] = []  # the first is what ends the others

    def counted(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        nonlocal done
        for chunk in chunks:
            yield chunk
            with lock:
                if errors:
                    raise errors[0]
                done += 1
                try:
                    if progress is not None:
                        progress(done, total)
                except BaseException as error:
                    errors.append(error)
                    raise

    with ThreadPoolExecutor(threads) as pool:
        try:
            return list(pool.map(partial(run, counted), blocks))
        except BaseException as error:
            errors.append(error)
            raise errors[0] from None

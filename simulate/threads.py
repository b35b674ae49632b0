"""Blocks of a simulation in threads, with one report of their progress."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from gradpower.tools.errors import whole
from gradpower.tools.terminal import Progress

Block = TypeVar("Block")
Result = TypeVar("Result")


def thread_count(threads: int | None) -> int:
    """Return `threads` if it is a number of them, all cores if it is None."""
    return os.cpu_count() or 1 if threads is None else whole("threads", threads)


def run_blocks(
    run: Callable[[Block, Callable[[], None]], Result],
    blocks: Sequence[Block],
    chunks: int,
    threads: int,
    progress: Progress | None,
) -> list[Result]:
    """Return `run(block, done)` for every block; it calls `done()` after each of its `chunks` chunks.

    progress(done, total) is called after every chunk, by one thread at a time. An error in any thread, that call
    included, ends all of them.
    """
    finished, lock = 0, Lock()
    errors: list[BaseException] = []  # the first is what ends the others

    def done() -> None:
        nonlocal finished
        with lock:
            if errors:
                raise errors[0]
            finished += 1
            try:
                if progress is not None:
                    progress(finished, len(blocks) * chunks)
            except BaseException as error:
                errors.append(error)
                raise

    with ThreadPoolExecutor(threads) as pool:
        try:
            return list(pool.map(lambda block: run(block, done), blocks))
        except BaseException as error:
            errors.append(error)
            raise errors[0] from None

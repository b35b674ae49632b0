"""Sign-power gradients, φ_p(g) = sign(g)·|g|^p, for any base optimizer.

This package imports none of the other rooms (theory, simulate, experiments, figures), so that it can be used
on its own; only the command line in `gradpower.__main__` opens them, one at a time.
"""


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Looked up on demand: importlib.metadata would double the time that `gradpower --help` takes.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(__name__)
    except PackageNotFoundError:  # a source tree on the path, never installed
        return "unknown"

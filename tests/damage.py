"""What may befall a file: hypothesis strategies for damaged copies of it."""

from __future__ import annotations

import json

from hypothesis import strategies as st

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(["", "none", "completed", "a\nb", "\ud800", [], {}, [[]], {"a": 1}, 10**400, [0] * 3]),
)


def nodes(content, place=()):
    """The places of all values in nested lists and dicts."""
    pairs = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    return [place, *(deeper for key, value in pairs for deeper in nodes(value, (*place, key)))]  # fmt: skip


@st.composite
def damage(draw, data: bytes) -> bytes:
    """The file cut off, with bytes changed, or with a key or a value of its JSON removed, added or replaced."""
    kind = draw(st.sampled_from(["cut", "bytes", "value", "value", "value", "remove", "add"]))
    at = draw(st.integers(0, len(data) - 1))
    if kind == "cut":
        return data[:at]
    try:
        content = json.loads(data)
    except ValueError:
        kind = "bytes"
    if kind == "bytes":
        return data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 3)) :]
    *way, last = draw(st.sampled_from(nodes(content)[1:]))
    inner = content
    for key in way:
        inner = inner[key]
    if kind == "value":
        inner[last] = draw(VALUES)
    elif kind == "remove":
        del inner[last]
    elif isinstance(inner, dict):
        inner["unknown"] = draw(VALUES)
    return json.dumps(content).encode()


def holds(given, content) -> bool:
    """Whether all that a file says is in what was read from it."""
    if isinstance(given, dict):
        return all(key in content and holds(value, content[key]) for key, value in given.items())
    if isinstance(given, list):
        return len(given) == len(content) and all(map(holds, given, content))
    # A whole number in a real field is read as the nearest real one.
    return given == content or (isinstance(content, float) and float(given) == content)

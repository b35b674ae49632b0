"""How the tests of figures look into their rows."""

from __future__ import annotations


def select(rows, **wanted):
    return [row for row in rows if wanted.items() <= row.items()]


def column(rows, name):
    return [row[name] for row in rows]

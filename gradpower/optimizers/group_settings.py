"""What a powered optimizer adds to every parameter group: "power" and "offset"."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from torch import Tensor

from gradpower.optimizers.stand_in import Group
from gradpower.tools.errors import InputError, real, require
from gradpower.transform import POWER, SignPower, check_power

SETTINGS = ("power", "offset")
# Keys of groups that speak of powers: those of this library; any other is a mistake, and would be ignored.
KNOWN_KEYS = {*SETTINGS, "initial_power"}


def check_settings(groups: Iterable[Group], defaults: Mapping[str, Any]) -> None:
    """Check what groups say about powers, and write it back as numbers; a misspelt key would be ignored."""
    for group in groups:
        for key in group.keys() - defaults.keys() - KNOWN_KEYS:
            if _is_misspelt(key):
                allowed = f"{' or '.join(SETTINGS)} (clip is an argument of the constructor)"
                raise InputError("key of a parameter group", key, allowed)
        if "power" in group:
            group["power"] = check_power(group["power"])
        if "offset" in group:
            group["offset"] = real("offset", group["offset"], ge=0)
        allowed = "False (the powered step writes into buffers)"
        require(not group.get("differentiable"), "differentiable", True, allowed)


def transform_of(group: Group) -> SignPower:
    """Return the map of a group's power and offset."""
    for name in SETTINGS:
        require(name in group, f"{name} of a parameter group", "missing", POWER)
    # A tensor on a device is not asked for its value at every step.
    power = check_power(group["power"], read=not isinstance(group["power"], Tensor))
    return SignPower(power, real("offset", group["offset"], ge=0))


def _is_misspelt(key: object) -> bool:
    """Whether a key of a group looks as if it were meant for the power, and would be ignored."""
    if not isinstance(key, str):
        return False
    word = key.lower()
    near = word[:1] in "po" and get_close_matches(word, SETTINGS, n=1, cutoff=0.75)
    return bool(near) or word == "clip" or any(name in word for name in SETTINGS)

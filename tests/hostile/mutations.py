"""Strategies: sound files with a few things changed, as a hand, a disk or a line that broke would change them."""

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Change = tuple[str, int, bytes]


def campaign(cases: int) -> settings:
    """So many cases, the same ones in every run."""
    return settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


_WHATEVER = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([b"\0" * 8, b"\xff" * 4, b"%!PS-Adobe", b"../../x", b"9" * 12, b"\x80\0\0\0\0\0\0\0", b"\n"]),
)
_CHANGES = st.tuples(
    st.sampled_from(["overwrite", "cut", "insert", "delete", "repeat", "flip"]), st.integers(0, 2**20), _WHATEVER
)


def changed(content: bytes, changes: Sequence[Change]) -> bytes:
    """``content`` after ``changes``, whose places are counted around its end."""
    for kind, place, piece in changes:
        at = place % (len(content) + 1)
        head, tail = content[:at], content[at:]
        match kind:
            case "overwrite":
                content = head + piece + tail[len(piece) :]
            case "cut":
                content = head
            case "insert":
                content = head + piece + tail
            case "delete":
                content = head + tail[1 + len(piece) :]
            case "repeat":
                content = head + tail[:512] + tail
            case _:
                content = head + bytes(byte ^ 1 << place % 8 for byte in tail[:1]) + tail[1:]
    return content


def mutated(sound: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of ``sound``, changed in one to four places; or a few bytes of anything."""
    several = st.lists(_CHANGES, min_size=1, max_size=4)
    return st.one_of(st.builds(changed, st.sampled_from(sound), several), st.binary(max_size=64))


HOSTILE_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    2**70,
    "",
    "x",
    "../../outside.tar",
    "/etc/passwd",
    "~nobody/x",
    "a" * 5000,
    "a\0b",
    "\ud800",
    [],
    {},
    [[]],
    [0] * 1000,
    {"": {"": None}},
]


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values in plain data."""
    found = [path] if path else []
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        found += places(value, (*path, key))
    return found


def altered(tree: Any, changes: Sequence[tuple[int, str, Any]]) -> Any:
    """A copy of plain data with values set, removed, renamed or wrapped at places counted around the last one."""
    tree = copy.deepcopy(tree)
    for place, kind, shared in changes:
        value, paths = copy.deepcopy(shared), places(tree)
        if not paths:
            return value
        *above, last = paths[place % len(paths)]
        parent = tree
        for key in above:
            parent = parent[key]
        if kind == "remove":
            del parent[last]
        elif kind == "wrap":
            parent[last] = [parent[last]]
        elif kind == "add" and isinstance(parent, dict):
            parent[f"{last}x"] = value
        else:
            parent[last] = value
    return tree


def alterations() -> st.SearchStrategy[list[tuple[int, str, Any]]]:
    """What ``altered`` takes."""
    kinds = st.sampled_from(["set", "set", "set", "remove", "wrap", "add"])
    return st.lists(st.tuples(st.integers(0, 2**16), kinds, st.sampled_from(HOSTILE_VALUES)), min_size=1, max_size=3)

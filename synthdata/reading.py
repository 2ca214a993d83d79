"""JSON and YAML that somebody else may have written, checked before anything else looks at them.

A file is read in three steps: its size and encoding; its syntax, as plain data of bounded depth and finite numbers; its
shape, against a type. Types are ``TypedDict`` classes (`synthdata.formats`), whose unknown keys are kept as they are,
or configuration dataclasses, which refuse them and check their ranges.

The shape is checked by msgspec: one wheel of 0.2 MB for each of Python 3.11 to 3.14, with no dependencies, where
pydantic brings four packages and ten times the size. It converts plain data to ordinary dataclasses and typed dicts
strictly ("3" is no number, 1.0 is no whole number, true is neither), in C, and names the field in its errors.
"""

import dataclasses
import json
import math
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import yaml

from synthdata.errors import FailureError, MisuseError, SynthdataError, shortened
from synthdata.ranges import check_ranges

MAX_BYTES = 64 * 2**20
"""Of a JSON file: the longest manifest, that of 100,000 shards, is half as long."""
MAX_YAML_BYTES = 2**20
MAX_DEPTH = 64
_MAX_INTEGER = 2**64
_DIGITS = "a number in it has thousands of digits"

T = TypeVar("T")

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "names with values",
    "array": "a list",
    "null": "null",
}


class UnsoundError(ValueError):
    """What is wrong with a text or a value, without the file that it came from."""


def read_json(path: Path, kind: type[T], mend: str = "restore it", error: type[SynthdataError] = FailureError) -> T:
    """The content of a JSON file.

    Args:
        kind: what it must be: a ``TypedDict``, a dataclass, or any type that msgspec knows.
        mend: what to do about a damaged file, the end of the message.
        error: raised for a damaged file.

    Raises:
        FileNotFoundError: there is no such file; likewise ``NotADirectoryError``.
        SynthdataError: ``error``, in one line with file, field, what is there and what should be.
    """
    return read_checked(path, lambda tree: checked(tree, kind), mend, error)


def read_yaml(path: Path, kind: type[T], mend: str = "restore it", error: type[SynthdataError] = FailureError) -> T:
    """As ``read_json``, of a YAML file without aliases or tags, of at most 1 MiB."""
    return read_checked(path, lambda tree: checked(tree, kind), mend, error, parse=parse_yaml)


def read_checked(
    path: Path,
    check: Callable[[Any], T],
    mend: str = "restore it",
    error: type[SynthdataError] = FailureError,
    name: str = "",
    parse: Callable[[bytes], Any] | None = None,
) -> T:
    """As ``read_json``, with a check of one's own.

    Args:
        check: given plain data, raises ``UnsoundError`` with what is wrong with it.
        name: what messages call the file; its path if not given.
        parse: ``parse_json`` if not given.
    """
    limit = MAX_YAML_BYTES if parse is parse_yaml else MAX_BYTES
    return check_content(lambda: _content(path, limit), check, name or str(path), mend, error, parse)


def check_content(
    read: Callable[[], bytes],
    check: Callable[[Any], T],
    name: str,
    mend: str = "restore it",
    error: type[SynthdataError] = FailureError,
    parse: Callable[[bytes], Any] | None = None,
) -> T:
    """As ``read_checked``, of a file called ``name`` that ``read`` gives."""
    name = shortened(name, 160)
    try:
        return check((parse or parse_json)(read()))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except UnsoundError as unsound:
        raise error(f"{name} is damaged ({unsound}): {mend}") from unsound
    except MisuseError as misuse:
        raise MisuseError(f"{name}: {misuse}") from misuse
    except (OSError, ValueError) as failed:  # a path with a NUL in it is a ValueError
        reason = failed.strerror if isinstance(failed, OSError) and failed.strerror else shortened(str(failed), 80)
        raise error(f"{name} cannot be read ({reason}): {mend}") from failed


def _content(path: Path, limit: int) -> bytes:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UnsoundError("it is no regular file")
    if found.st_size > limit:
        raise UnsoundError(f"it has {found.st_size:,} bytes, more than the {limit:,} that are read")
    return path.read_bytes()


def parse_json(raw: bytes | str) -> Any:
    """JSON as plain data: at most ``MAX_DEPTH`` deep, numbers finite and below 2**64, no key twice.

    Raises:
        UnsoundError: it is something else.
    """
    try:
        tree = json.loads(_text(raw), object_pairs_hook=_unique)
    except RecursionError:
        raise UnsoundError(_too_deep()) from None
    except json.JSONDecodeError as error:
        raise UnsoundError(f"no JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except UnsoundError:
        raise
    except ValueError:  # Python does not convert more than 4,300 digits
        raise UnsoundError(_DIGITS) from None
    return _plain(tree)


def parse_yaml(raw: bytes | str) -> Any:
    """YAML as plain data, as ``parse_json``; aliases and tags are refused, and 1e-3 is a number, as in YAML 1.2.

    Raises:
        UnsoundError: it is something else.
    """
    text = _text(raw)
    if len(text) > MAX_YAML_BYTES:
        raise UnsoundError(f"it has {len(text):,} characters, more than the {MAX_YAML_BYTES:,} that are read")
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_YamlLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise UnsoundError(_too_deep())
            if isinstance(event, yaml.AliasEvent):
                alias = shortened(str(event.anchor), 40)
                raise UnsoundError(f"it has an alias, *{alias}: write out what it stands for")
        tree = yaml.load(text, Loader=_YamlLoader)
    except yaml.YAMLError as error:
        raise UnsoundError(f"no YAML: {_yaml_problem(error)}") from None
    except RecursionError:
        raise UnsoundError(_too_deep()) from None
    except UnsoundError:
        raise
    except (ValueError, OverflowError, TypeError) as error:
        digits = "integer string" in str(error)
        raise UnsoundError(_DIGITS if digits else f"no YAML: {shortened(str(error), 80)}") from None
    return _plain(tree)


def checked(tree: Any, kind: type[T], place: str = "") -> T:
    """Plain data as a ``kind``; of a ``TypedDict``, ``tree`` itself, keys that the class does not name included.

    Args:
        place: of ``tree`` in its file, as messages call it.

    Raises:
        UnsoundError: naming the first field that is missing, of another type, or out of its range.
    """
    try:
        made = msgspec.convert(tree, kind)
    except msgspec.ValidationError:
        raise UnsoundError(_explained(tree, kind, place)) from None
    except MisuseError as error:  # dataclasses that check themselves
        raise UnsoundError(_below(place, str(error))) from None
    if dataclasses.is_dataclass(kind):
        if foreign := _foreign(tree, kind):
            raise UnsoundError(f"there is no setting {_below(place, shortened(foreign, 80))}")
        try:
            check_ranges(made)
        except MisuseError as error:
            raise UnsoundError(_below(place, str(error))) from None
        return made
    return cast(T, tree) if isinstance(tree, dict) else made


def _below(place: str, field: str) -> str:
    return f"{place}{'.' if place and field and not field.startswith('[') else ''}{field}"


def shown(value: Any) -> str:
    """A value for a message: short, whatever it is."""
    if isinstance(value, dict):
        return f"an object of {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) >= _MAX_INTEGER:
        return "a number of more than 19 digits"
    return shortened(json.dumps(value, ensure_ascii=False, default=str), 40)


def _text(raw: bytes | str) -> str:
    if isinstance(raw, str):
        return raw
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnsoundError(f"no UTF-8 text: byte {error.start} is 0x{raw[error.start]:02x}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise UnsoundError(_twice([key for key, _ in pairs]))
    return unique


def _twice(keys: list[str]) -> str:
    return f"{shortened(Counter(keys).most_common(1)[0][0], 40)} is in it twice"


def _plain(tree: Any) -> Any:
    """``tree``, if it is not too deep and every value in it is one that JSON can say."""
    level = [tree]
    for _ in range(MAX_DEPTH):
        if any(_problem(value) for value in level):
            raise UnsoundError(next(f"{place or 'it'} is {_problem(value)}" for place, value in _walk(tree)))
        level = [child for value in level if isinstance(value, dict | list) for child in _children(value)]
        if not level:
            return tree
    raise UnsoundError(_too_deep())


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    else:
        yield from value


def _problem(value: Any) -> str | None:
    if isinstance(value, str):
        return None if value.isascii() or not re.search("[\ud800-\udfff]", value) else "no text: half a character"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value}, no finite number"
    if isinstance(value, int):
        return None if abs(value) < _MAX_INTEGER else "a number of more than 19 digits"
    return None if value is None or isinstance(value, dict | list) else f"a {type(value).__name__}"


def _walk(tree: Any) -> Iterator[tuple[str, Any]]:
    """The values with a problem, each with the field that it is in."""
    if _problem(tree):
        yield "", tree
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        place = f"[{key}]" if isinstance(tree, list) else shortened(str(key).encode("ascii", "replace").decode(), 40)
        if _problem(key):
            yield f"the name {place}", key
        for below, found in _walk(value):
            yield _below(place, below), found


def _too_deep() -> str:
    return f"it is nested more than {MAX_DEPTH} deep"


def _explained(tree: Any, kind: Any, root: str) -> str:
    """What msgspec finds wrong first, with the names of keys in the place of its ``[...]``."""
    text, place, value = _located(tree, kind)
    place = _below(root, place)
    missing = re.search(r"missing required field `(.+?)`", text)
    if missing:
        return f"no {_below(place, missing[1])}"
    expected = re.sub(r"^Expected |, got .*$", "", text)
    expected = re.sub(r"`(.+?)`", lambda types: _in_words(types[1]), expected)
    expected = re.sub(r" (>=|<=|>|<) ", lambda sign: f", {_SIGNS[sign[1]]} ", expected)
    if text.startswith("Invalid enum value"):
        return f"{place} is {shown(value)}, which is none of its values"
    return f"{place or 'it'} is {shown(value)}: it must be {shortened(expected, 100)}"


def _in_words(types: str) -> str:
    return " or ".join(_WORDS.get(name, name) for name in types.split(" | "))


_SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def _located(tree: Any, kind: Any) -> tuple[str, str, Any]:
    """msgspec's message, the field that it means, and what is there.

    Of a key of a dictionary it only says that there is one: halving dictionaries finds it.
    """
    while True:
        text = _complaint(tree, kind)
        assert text is not None
        text, _, path = text.partition(" - at ")
        of_key = path.startswith("`key` in ")
        place, value = "", tree
        for step in re.findall(r"\.([^.\[\]`]+)|\[(\d+)\]|(\[\.\.\.\])", path) + [("", "", "[...]")] * of_key:
            name, index, some = step
            if some and len(value) > 1:
                items = list(value.items())
                value.clear()
                value.update(items[: len(items) // 2])
                if _complaint(tree, kind) is None:
                    value.clear()
                    value.update(items[len(items) // 2 :])
                break
            key = next(iter(value)) if some else name or int(index)
            place += f"[{key}]" if index else f"{'.' * bool(place)}{shortened(str(key), 40)}"
            value = key if of_key and some else value[key]
        else:
            return text, f"the name {place}" if of_key else place, value


def _complaint(tree: Any, kind: Any) -> str | None:
    try:
        msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _foreign(tree: Any, kind: Any) -> str | None:
    """A key of ``tree`` that the dataclass ``kind``, or one in it, does not have."""
    for key, value in tree.items():
        if (field := kind.__dataclass_fields__.get(key)) is None:
            return str(key)
        if dataclasses.is_dataclass(field.type) and (below := _foreign(value, field.type)):
            return f"{key}.{below}"
    return None


class _YamlLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's core types and nothing else, without a key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [child.value for child, _ in node.value if isinstance(child, yaml.ScalarNode)]
        if len(keys) < len(node.value):
            raise UnsoundError("no YAML: a name in it is a list or an object")
        if len(set(keys)) < len(keys):
            raise UnsoundError(_twice(keys))
        return {key: self.construct_object(child, deep=True) for key, (_, child) in zip(keys, node.value, strict=True)}


_CORE = [f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")]
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
)


def _core_only() -> None:
    """Leave the loader the core types, and let 1e-3 be a number."""
    _YamlLoader.yaml_constructors = {
        tag: constructor for tag, constructor in yaml.SafeLoader.yaml_constructors.items() if tag in (*_CORE, None)
    }
    _YamlLoader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _CORE and not tag.endswith(":float")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _YamlLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


_core_only()


def _yaml_problem(error: yaml.YAMLError) -> str:
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return shortened(str(problem or error), 80) + place

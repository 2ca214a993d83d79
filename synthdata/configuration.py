"""Typed configurations from YAML files and dotted flags."""

import argparse
import dataclasses
import difflib
import inspect
import itertools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import Field, field
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_dumper, set_loader

from synthdata.errors import MisuseError, shortened
from synthdata.paths import PathRule, user_path
from synthdata.ranges import check_ranges
from synthdata.reading import UnsoundError, parse_yaml, read_checked, shown

Config = TypeVar("Config")
_METAVAR = "metavar"


def parse(
    config_class: type[Config],
    description: str,
    argv: Sequence[str] | None = None,
    default_file: Path | None = None,
    program: str | None = None,
) -> Config:
    """Build a configuration dataclass from command-line flags and ``--config FILE``.

    Later flags override earlier ones, and a file overrides the defaults; ``--print_config`` shows the resolved result.
    A list is given as ``--labels 10 100`` or ``--labels [10,100]``; a bare ``--resume`` means ``--resume true``.

    Args:
        config_class: the dataclass; nested dataclasses become dotted flags, and fields made by ``positional`` are
            given without a flag, in their order.
        description: shown by ``--help``.
        argv: the arguments; those of the program if not given.
        default_file: a configuration file that is read before everything else.
        program: its name in ``--help``; that of the file that runs if not given.

    Raises:
        MisuseError: for an unknown key, naming the nearest known one, or a value of the wrong type or out of its range,
            or a file that is no plain YAML.
    """
    placed = {
        each.name: each.metadata[_METAVAR] for each in _fields(config_class).values() if _METAVAR in each.metadata
    }
    parser = _Parser(
        prog=program,
        usage=" ".join(["%(prog)s", *placed.values(), "[--SETTING VALUE ...]"]),
        description=inspect.cleandoc(description).rstrip(),
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
        parser_mode=_PLAIN,
        default_config_files=[str(default_file)] if default_file else [],
    )
    parser.add_argument("--config", action="config", help="read settings from this YAML file")
    parser.add_class_arguments(config_class, as_positional=bool(placed))
    for action in parser._actions:
        action.metavar = placed.get(action.dest, action.metavar)
    arguments = _spell_out(parser, sys.argv[1:] if argv is None else argv)
    _check_settings(config_class, [f"--config={default_file}", *arguments] if default_file else arguments)
    parsed = parser.parse_args(arguments)
    check_ranges(parsed, config_class=config_class)
    _expand_paths(config_class, parsed)
    parsed = parser.instantiate(parsed)
    return config_class(**{key: value for key, value in parsed.items(branches=True) if key in _fields(config_class)})


_PLAIN = "plain"
set_loader(_PLAIN, parse_yaml, exceptions=(UnsoundError,))
set_dumper(_PLAIN, lambda settings: yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))


def _check_settings(config_class: Any, arguments: Sequence[str]) -> None:
    """Check the files that ``arguments`` name, and what they say of whole sections, before jsonargparse reads them."""
    sections = dict(_sections(config_class, "")) | {"config": config_class}
    for first, second in itertools.pairwise([*arguments, ""]):
        flag, told, value = first.partition("=")
        if flag.removeprefix("--") not in sections or not flag.startswith("--"):
            continue
        name, value = flag[2:], value if told else second
        if name == "config" or _is_file(value):
            tree, place = _read(Path(value).expanduser()), f"{value}: "
        else:
            tree, place = _parse(value, name), ""
        _check_section(tree, sections[name], "" if name == "config" else name, place)


def _sections(config_class: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The dotted names of nested dataclasses."""
    for name, hint in get_type_hints(config_class).items():
        for option in (hint, *get_args(hint)):
            if dataclasses.is_dataclass(option):
                yield f"{prefix}{name}", option
                yield from _sections(option, f"{prefix}{name}.")


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file()
    except (OSError, ValueError):
        return False


def _read(path: Path) -> Any:
    try:
        return read_checked(path, lambda tree: tree, "give a YAML file of settings", MisuseError, parse=parse_yaml)
    except OSError as error:
        raise MisuseError(f"there is no file {shortened(str(path), 200)}: give a YAML file of settings") from error


def _parse(value: str, name: str) -> Any:
    try:
        return parse_yaml(value)
    except UnsoundError as error:
        raise MisuseError(f"{name} cannot be read ({error}): give its settings, as --{name}.NAME VALUE") from error


def _check_section(tree: Any, section: Any, name: str, place: str) -> None:
    """Raise ``MisuseError`` unless the settings of ``section``, called ``name``, and of those below it have names."""
    if not isinstance(tree, dict):
        what = f"{name} is" if name else "it holds"
        raise MisuseError(f"{place}{what} {shown(tree)}: it must be settings with their names and values, or left out")
    for key, hint in get_type_hints(section).items():
        below = [option for option in (hint, *get_args(hint)) if dataclasses.is_dataclass(option)]
        if key in tree and below and not (tree[key] is None and type(None) in get_args(hint)):
            _check_section(tree[key], below[0], f"{name}.{key}" if name else key, place)


def positional(metavar: str) -> Any:
    """A dataclass field that is given without a flag; ``--help`` calls it ``metavar``."""
    return field(metadata={_METAVAR: metavar})


def _spell_out(parser: ArgumentParser, argv: Sequence[str]) -> list[str]:
    """``argv`` with each ``--flag a b c`` of a list as one argument, ``--flag=["a", "b", "c"]``, and each bare
    ``--flag`` of a switch as ``--flag=true``.
    """
    hints = {
        option: getattr(action, "_typehint", None) for action in parser._actions for option in action.option_strings
    }
    elements = {option: _element_types(hint) for option, hint in hints.items()}
    gathered: list[str] = []
    rest = list(argv)
    while rest:
        first, rest = rest[0], rest[1:]
        flag, told, value = first.partition("=")
        count = next((i for i, argument in enumerate(rest) if argument.startswith("--")), len(rest))
        values = [value] * bool(told) + rest[:count]
        if hints.get(flag) is bool and not told and (not count or rest[0].lower() not in ("true", "false")):
            gathered.append(f"{flag}=true")
            continue
        if not elements.get(flag) or not values or values[0].startswith("["):
            gathered.append(first)
            continue
        rest = rest[count:]
        texts = [json.dumps(value) for value in values] if str in elements[flag] else values
        gathered.append(f"{flag}=[{', '.join(texts)}]")
    return gathered


def _element_types(hint: Any) -> tuple[Any, ...]:
    """What a list holds, also one that may be None; nothing for other types."""
    for option in (hint, *get_args(hint)):
        if get_origin(option) is list:
            return tuple(get_args(of)[0] if get_origin(of) is Annotated else of for of in get_args(option))
    return ()


def told(argv: Sequence[str], flag: str) -> str | None:
    """The value that ``argv`` gives ``--flag``; None without one."""
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    flags.add_argument(f"--{flag}", dest="value")
    return flags.parse_known_args(argv)[0].value


def read_over(argv: Sequence[str], file: Path) -> list[str]:
    """``argv`` with one more ``--config FILE``, read after the others and before all other flags."""
    files = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    files.add_argument("--config", action="append", default=[])
    told, flags = files.parse_known_args(argv)
    return [*(f"--config={path}" for path in (*told.config, file)), *flags]


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of a description, whose examples are to be copied."""


class _Parser(ArgumentParser):
    def format_help(self, *arguments: Any) -> str:
        """Shows a range as ``int, at least 1``, where jsonargparse would write ``Annotated[int, at least 1]``."""
        shown, before = super().format_help(*arguments), ""
        while shown != before:
            before, shown = shown, re.sub(r"Annotated\[([^\[\]]+|[^\[\]]*\[[^\[\]]*\][^\[\]]*)\]", r"\1", shown)
        return shown

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        text = _plain(" ".join(message.split()))
        if missing := re.search(r"arguments are required: ([^(]+)", text):
            metavars = {action.dest: str(action.metavar) for action in self._actions if not action.option_strings}
            names = [metavars.get(name, name) for name in missing[1].strip().split(", ")]
            raise MisuseError(f"{', '.join(names)} must be given (see --help)") from ex
        unknown = re.search(r"unrecognized arguments: --([\w.]+)", text)
        if unknown is not None:
            raise MisuseError(self._unknown(unknown[1])) from ex
        foreign = re.search(r"(?:Group '([\w.]+)' does not accept o|O)ption '([\w.]+)'", text)
        if foreign is not None:
            raise MisuseError(self._unknown(".".join(filter(None, foreign.groups())))) from ex
        raise MisuseError(f"{shortened(text, 250)} (see --help)") from ex

    def _unknown(self, key: str) -> str:
        known = [option[2:] for action in self._actions for option in action.option_strings if option.startswith("--")]
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
        return f"there is no setting {shortened(key, 100)}" + (
            f"; the nearest is {near[0]}" if near else "; see --help"
        )


def _plain(text: str) -> str:
    """A message of jsonargparse without the words of Python's type system."""
    for pattern, plain in (
        (r'Parser key "(.+?)":', r"\1:"),
        (r"Expected a <class '(\w+)'>", r"expected \1"),
        (r"Expected a typing\.Literal\[(.+?)\]", r"expected one of \1"),
        (r"Does not validate against any of .* Errors: - (.+) Given value type: .+ Given", r"\1. Got"),
        (r" - expected NoneType", " or null"),
        (r"(?: or null)?\. Got value: (?:NestedArg\(.*?\)|\{.*?\})", ""),
        (r" \(see --help\)$", ""),
        (r"^(\w+): (\w+): ", r"\1.\2: "),
        (r"Unexpected config: ", "a file of settings holds no settings but "),
    ):
        text = re.sub(pattern, plain, text)
    return text


def _expand_paths(hint: Any, value: Any) -> Any:
    """``value`` of type ``hint`` with the home folder in the place of ``~`` in every path."""
    if dataclasses.is_dataclass(hint) and value is not None:
        hints = get_type_hints(hint, include_extras=True)
        for name in _fields(hint):
            setattr(value, name, _expand_paths(hints[name], getattr(value, name)))
    elif isinstance(value, list):
        return [_expand_paths(element, each) for each in value for element in get_args(hint)[:1]]
    elif isinstance(value, str) and value.startswith("~") and _is_path(hint):
        return str(user_path(value))
    return value


def _is_path(hint: Any) -> bool:
    """Also one that may be None."""
    return any(isinstance(part, PathRule) or _is_path(part) for part in get_args(hint))


def _fields(config_class: Any) -> dict[str, Field[Any]]:
    return {each.name: each for each in dataclasses.fields(config_class)}

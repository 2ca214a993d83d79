"""Typed configurations from YAML files and dotted flags."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from jsonargparse import ArgumentParser

from synthdata.errors import MisuseError

Config = TypeVar("Config")


def parse(
    config_class: type[Config], description: str, argv: Sequence[str] | None = None, default_file: Path | None = None
) -> Config:
    """Build a configuration dataclass from command-line flags and ``--config FILE``.

    Later flags override earlier ones, and a file overrides the defaults; ``--print_config`` shows the resolved result.

    Args:
        config_class: the dataclass; nested dataclasses become dotted flags.
        description: shown by ``--help``.
        argv: the arguments; those of the program if not given.
        default_file: a configuration file that is read before everything else.

    Raises:
        MisuseError: for an unknown key, naming the nearest known one, or a value of the wrong type.
    """
    parser = _Parser(
        description=description,
        allow_abbrev=False,
        default_config_files=[str(default_file)] if default_file else [],
    )
    parser.add_argument("--config", action="config", help="read settings from this YAML file")
    parser.add_class_arguments(config_class)
    parsed = parser.instantiate(parser.parse_args(argv))
    return config_class(**{key: value for key, value in parsed.items(branches=True) if key in _fields(config_class)})


class _Parser(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        text = re.sub(r'Parser key "(.+?)":', r"\1:", " ".join(message.split()))
        unknown = re.search(r"unrecognized arguments: --([\w.]+)", text)
        if unknown is not None:
            raise MisuseError(self._unknown(unknown[1])) from ex
        foreign = re.search(r"(?:Group '([\w.]+)' does not accept o|O)ption '([\w.]+)'", text)
        if foreign is not None:
            raise MisuseError(self._unknown(".".join(filter(None, foreign.groups())))) from ex
        raise MisuseError(f"{text} (see --help)") from ex

    def _unknown(self, key: str) -> str:
        known = [option[2:] for action in self._actions for option in action.option_strings if option.startswith("--")]
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
        return f"there is no setting {key}" + (f"; the nearest is {near[0]}" if near else "; see --help")


def _fields(config_class: Any) -> set[str]:
    return set(config_class.__dataclass_fields__)

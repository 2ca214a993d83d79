"""A program of several verbs, each with a typed configuration of its own: ``synthdata``, and the benchmark recipe."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from synthdata.configuration import parse
from synthdata.errors import MisuseError

Config = TypeVar("Config")


@dataclass(frozen=True)
class Verb(Generic[Config]):
    """One of the things that a program does.

    Attributes:
        name: as it is typed.
        help: one line for the list of verbs.
        config_class: the dataclass of its settings; those without a default that have a ``metavar`` are positional.
        run: does it and prints what came of it; returns the exit code, None for 0.
        settle: completes the arguments before they are read, such as by files of settings.

    Its own ``--help`` opens with the docstring of ``config_class``, up to the attributes.
    """

    name: str
    help: str
    config_class: type[Config]
    run: Callable[[Config], int | None]
    settle: Callable[[Sequence[str]], Sequence[str]] = list

    def start(self, program: str, arguments: Sequence[str]) -> int:
        """Read ``arguments`` and do what they ask; returns the exit code."""
        description = (self.config_class.__doc__ or "").partition("Attributes:")[0]
        config = parse(self.config_class, description, self.settle(arguments), program=f"{program} {self.name}")
        return self.run(config) or 0


def run_verb(program: str, verbs: Sequence[Verb], description: str, arguments: Sequence[str]) -> int:
    """Do what ``arguments`` ask: a verb and its settings, or ``--help``.

    Args:
        program: its name.
        verbs: those that there are.
        description: shown by ``--help`` above the list of verbs.
        arguments: those of the program, without its name.

    Returns:
        The exit code.

    Raises:
        MisuseError: no verb, an unknown one, or settings that cannot be used.
    """
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name in ("-h", "--help"):
        print(_help(program, verbs, description))
        return 0
    for verb in verbs:
        if verb.name == name:
            return verb.start(program, rest)
    names = [verb.name for verb in verbs]
    near = difflib.get_close_matches(name, names, n=1)
    wrong = f"there is no verb {name}; the nearest is {near[0]}" if near else f"name a verb: {', '.join(names)}"
    raise MisuseError(f"{wrong} (see {program} --help)")


def _help(program: str, verbs: Sequence[Verb], description: str) -> str:
    width = max(len(verb.name) for verb in verbs)
    lines = [f"  {verb.name:<{width}}  {verb.help}" for verb in verbs]
    return "\n".join(
        [
            f"usage: {program} VERB ...",
            "",
            description.strip(),
            "",
            "verbs:",
            *lines,
            "",
            f"{program} VERB --help tells the settings of one.",
        ]
    )

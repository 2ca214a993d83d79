"""``synthdata quickstart``."""

from dataclasses import dataclass
from pathlib import Path

from synthdata.paths import PathText


@dataclass
class QuickstartConfig:
    """Copy the recipes that `accelerate launch` runs, and their settings, to a folder, and say what to run next.

    Files there that are not the same are not overwritten: nothing is copied then, and the exit code is 2.

    Attributes:
        output: the folder that the folder recipes is put in.
    """

    output: PathText = "."


def quickstart(config: QuickstartConfig) -> None:
    """Copy the recipes and print what to run."""
    from synthdata.recipe_files import copy_recipes, next_steps

    print(next_steps(copy_recipes(Path(config.output))))

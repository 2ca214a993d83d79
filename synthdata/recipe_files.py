"""Putting the recipes and their settings where a person can run and change them."""

from pathlib import Path

from synthdata.errors import FailureError, MisuseError

_FOLDERS = (Path(__file__).with_name("recipes"), Path(__file__).parents[1] / "recipes")
"""Where a wheel carries the recipes, and where a checkout has them."""


def copy_recipes(folder: Path) -> Path:
    """Copy the recipes and their settings to ``folder/recipes``; files that are there already stay as they are.

    Returns:
        The folder of the recipes.

    Raises:
        MisuseError: a file there has other content: nothing is copied then.
        FailureError: the folder cannot be written.
    """
    source = next(folder for folder in _FOLDERS if folder.is_dir())
    target = folder.expanduser() / "recipes"
    contents = {
        target / path.relative_to(source): path.read_bytes()
        for path in sorted(source.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    try:
        changed = [path for path in contents if path.exists() and path.read_bytes() != contents[path]]
        if changed:
            others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise MisuseError(
                f"{changed[0]}{others} would be overwritten, with other content: move it away, or name another folder"
            )
        for path, content in contents.items():
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    except OSError as error:
        raise FailureError(f"cannot write {target} ({error.strerror}): name another folder") from error
    return target


def next_steps(recipes: Path) -> str:
    """What to run with the recipes that ``copy_recipes`` has put there, for a person to read."""
    return f"""\
The recipes are in {recipes}, their settings in {recipes / "configs"}. To train on the built-in digits, without a
download, and write a dataset of hard samples and pairs:

  accelerate launch {recipes / "joint.py"}

To train on images of your own:

  accelerate launch {recipes / "joint.py"} --data.source imagefolder:PATH --output_dir runs/mine"""

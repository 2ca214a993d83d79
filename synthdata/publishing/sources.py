"""What a card says of the real images."""

import re
from pathlib import Path
from typing import Any

_KNOWN = {
    "digits": {
        "description": "scikit-learn's handwritten digits, the test part of the "
        "[UCI optical recognition of handwritten digits](https://archive.ics.uci.edu/dataset/80)",
        "license": "CC BY 4.0",
    },
    "torchvision": {"description": "{argument} as torchvision downloads it"},
    "hf": {"description": "[{argument}](https://huggingface.co/datasets/{repository})"},
}
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def describe_source(name: str) -> dict[str, Any]:
    """What is known of the data source ``name``, as the configuration spells it.

    Of a path on this machine only its last part is told.

    Returns:
        ``description`` in Markdown; ``repository`` on the Hub and ``license`` where known.
    """
    prefix, _, argument = name.partition(":")
    repository = argument.partition(":")[0]
    is_repository = prefix == "hf" and _REPOSITORY.fullmatch(repository) is not None and not Path(repository).exists()
    if prefix not in _KNOWN or (prefix == "hf" and not is_repository):
        return {"description": f"`{without_folders(name)}`"}
    known: dict[str, Any] = dict(_KNOWN[prefix])
    known["description"] = known["description"].format(argument=argument, repository=repository)
    return known | ({"repository": repository} if is_repository else {})


def describe_shards(name: str) -> dict[str, Any]:
    """What is known of an emitted dataset, a directory or a repository: as ``describe_source``."""
    if Path(name).exists():
        return {"description": f"`{without_folders(name)}`"}
    return describe_source(f"hf:{name.removeprefix('hf://datasets/')}")


def without_folders(name: str) -> str:
    """A data source, or a path, without the folders that lead to it on this machine."""
    prefix, colon, argument = name.partition(":")
    if not colon:
        prefix, argument = "", name
    if prefix == "torchvision" or (prefix == "hf" and not Path(argument.partition(":")[0]).exists()):
        return name
    return f"{prefix}{colon}{argument.rstrip('/').rpartition('/')[2]}"

"""What stands beside the shards of a finished dataset: card, Croissant metadata and page."""

import fcntl
from collections.abc import Callable
from pathlib import Path

from synthdata.emission.files import disk_errors
from synthdata.emission.manifest import CARD, CROISSANT, MANIFEST, PAGE, read_manifest
from synthdata.publishing.card import write_dataset_card
from synthdata.publishing.croissant import write_croissant
from synthdata.publishing.pages import write_page


def complete_dataset(folder: Path | str, page: bool = True) -> None:
    """Write what a finished dataset lacks of its card, its Croissant metadata and its page.

    To be called after each emission, and after finishing: the last process to finish then writes them, and a dataset
    that is not finished yet gets none.

    Args:
        page: whether there is to be a page.

    Raises:
        MisuseError: ``folder`` cannot be written.
        FailureError: the disk is full, or a shard cannot be read.
    """
    folder = Path(folder)
    parts: dict[str, Callable[[], object]] = {
        CARD: lambda: write_dataset_card(folder),
        CROISSANT: lambda: write_croissant(folder, read_manifest(folder)),
        **({PAGE: lambda: write_page(folder)} if page else {}),
    }
    with disk_errors(folder):
        try:
            manifest = (folder / MANIFEST).open("rb")
        except FileNotFoundError:
            return
        with manifest:
            fcntl.flock(manifest, fcntl.LOCK_EX)  # several processes may find them missing at the same time
            for name, write in parts.items():
                if not (folder / name).exists():
                    write()

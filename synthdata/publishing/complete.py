"""What stands beside the shards of a finished dataset: card, Croissant metadata and page."""

import fcntl
from collections.abc import Callable

from synthdata.emission.manifest import CARD, CROISSANT, MANIFEST, PAGE, WORK, read_manifest
from synthdata.emission.verify import DATA
from synthdata.manifests import listed
from synthdata.publishing.card import write_dataset_card
from synthdata.publishing.croissant import write_croissant
from synthdata.publishing.pages import page_beside
from synthdata.stores import Location, open_store
from synthdata.stores.local import disk_errors


def complete_dataset(location: Location, page: bool = True) -> None:
    """Write what a finished dataset lacks of its card, its Croissant metadata and its page.

    The metadata describe every shard, and are left out where these are too many for one JSON.

    To be called after each emission, and after finishing: the last process to finish then writes them, and a dataset
    that is not finished yet gets none.

    Args:
        page: whether there is to be a page.

    Raises:
        MisuseError: the place cannot be written.
        FailureError: the disk is full, or a shard cannot be read.
    """
    store = open_store(location)
    parts = [CARD, CROISSANT, *([PAGE] if page else [])]
    if not store.exists(MANIFEST) or not set(parts) - store.names():
        return
    if not listed(read_manifest(store)["shards"]):
        parts.remove(CROISSANT)
    with disk_errors(store), store.working_copy(leave_out=(DATA, WORK)) as folder:
        writers: dict[str, Callable[[], object]] = {
            CARD: lambda: write_dataset_card(folder),
            CROISSANT: lambda: write_croissant(folder, read_manifest(folder)),
            PAGE: lambda: page_beside(folder, store),
        }
        try:
            manifest = (folder / MANIFEST).open("rb")
        except FileNotFoundError:
            return
        with manifest:
            fcntl.flock(manifest, fcntl.LOCK_EX)  # several processes may find them missing at the same time
            for name in parts:
                if not (folder / name).exists():
                    writers[name]()

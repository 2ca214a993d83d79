"""Pages for a person to look at: one self-contained ``index.html`` in the folder that it shows.

In comes a folder as a run, an emission or a comparison left it; out goes the page. Whoever made the folder may call
this, and `synthdata page` at any time. No model is loaded, and no script or image comes from elsewhere.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synthdata.errors import MisuseError
from synthdata.stores import LocalStore, Location, Store, open_store

Write = Callable[[Path, Mapping[str, Any] | None], Path]


def write_page(location: Location, defaults: Mapping[str, Any] | None = None) -> Path | str:
    """Write the page of whatever is at ``location``, in place of an older one; returns where it is.

    Args:
        location: of a dataset; or the folder of a run, or the output of a comparison or of the headline table.
        defaults: of a run: the configuration it would have had if nothing had been said, to mark what differs.

    Raises:
        MisuseError: there is nothing in the folder that has a page, or it is damaged.
        FailureError: a file cannot be read, or the page cannot be written.
    """
    store = open_store(location)
    if not isinstance(store, LocalStore):
        return write_dataset_page(store)
    for marks, write in _PAGES:
        if all((store.folder / mark).is_file() for mark in marks):
            return write(store.folder, defaults)
    raise MisuseError(
        f"{store} is no dataset, run or comparison: name a folder with manifest.json, config.yaml, report.json or "
        "table.json in it"
    )


def write_dataset_page(location: Location, show_real: bool = False, run: Path | None = None) -> Path | str:
    """Write the page of a dataset; returns where it is.

    Args:
        show_real: whether each row has its nearest training image beside it, or of relations the images that they are
            between; these then are published with the page.
        run: directory of the dataset's run, for settings of the training images that the manifest does not tell.

    Raises:
        MisuseError: the training images are asked for and are not at hand.
        FailureError: a shard cannot be read, or the page cannot be written.
    """
    store = open_store(location)
    with store.working_copy(leave_out=("data", ".emission")) as folder:
        page = page_beside(folder, store, show_real, run)
        return page if isinstance(store, LocalStore) else f"{store}/{page.name}"


def page_beside(folder: Path, store: Store, show_real: bool = False, run: Path | None = None) -> Path:
    """``write_dataset_page`` into a working copy of ``store``."""
    from synthdata.emission import read_manifest
    from synthdata.publishing.pages import dataset, relations
    from synthdata.publishing.pages.real import RealImages, SourceImages

    manifest = read_manifest(store)
    if "construction" in manifest:
        images = SourceImages(manifest) if show_real else None
        return relations.write_relations_page(folder, store, manifest, images)
    return dataset.write_dataset_page(folder, store, manifest, RealImages(manifest, run) if show_real else None)


def _run(folder: Path, defaults: Mapping[str, Any] | None) -> Path:
    from synthdata.publishing.pages.run import write_run_page

    return write_run_page(folder, defaults)


def _comparison(folder: Path, _: Mapping[str, Any] | None) -> Path:
    from synthdata.publishing.pages.comparison import write_comparison_page

    return write_comparison_page(folder)


_PAGES: list[tuple[tuple[str, ...], Write]] = [
    (("manifest.json",), lambda folder, _: page_beside(folder, LocalStore(folder))),
    (("table.json",), _comparison),
    (("config.yaml",), _run),
    (("report.json",), _comparison),
]
"""The files that tell what a folder is, and who writes its page; the first that fits. A new page is a new line."""

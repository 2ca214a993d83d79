"""``synthdata page DIR``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthdata.configuration import positional
from synthdata.errors import MisuseError
from synthdata.paths import PathText


@dataclass
class PageConfig:
    """Write the page of a folder again: one index.html to look at, which fetches nothing.

    A dataset's page has histograms and a sample of its rows; a run's, also of one that goes on, its curves, sample
    grids, settings and times; that of a comparison or of a headline table, its table, intervals and differences.

    Attributes:
        folder: a run, a dataset, or the output of a comparison or of the headline table.
        show_real: of a dataset: show beside each row the real image nearest to it, or with each relation the images
            that it is between, which are then part of the page. Mind whether the real images may be published.
        run: of a dataset: the directory of its run, for where the real images are if its manifest is not enough.
    """

    folder: PathText = positional("DIR")
    show_real: bool = False
    run: str | None = None


def page(config: PageConfig) -> None:
    """Write the page and print where it is."""
    from synthdata.publishing.pages import write_dataset_page, write_page

    run = Path(config.run) if config.run else None
    if config.show_real:
        print(write_dataset_page(config.folder, show_real=True, run=run))
    elif run:
        raise MisuseError(f"run is {run}, and no real images are asked for: add --show_real true, or leave it out")
    else:
        print(write_page(config.folder, _defaults(Path(config.folder))))


def _defaults(folder: Path) -> dict[str, Any] | None:
    """The configuration that the run in ``folder``, if there is one, would have had if nothing had been said."""
    if not (folder / "config.yaml").is_file():
        return None
    from synthdata.run_files import read_run_file
    from synthdata.training import ContrastConfig, JointConfig
    from synthdata.training.run_directory import as_plain

    settings = read_run_file(folder / "config.yaml", dict[str, Any])
    return as_plain(ContrastConfig() if "method" in settings else JointConfig())

"""The run that images are taken from, and its images, divided into what is forgotten and what is retained."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from synthdata.data import Images, RealData, image_identity, load_images
from synthdata.errors import MisuseError
from synthdata.reading import UnsoundError, checked
from synthdata.run_files import MEND, read_run
from synthdata.training import JointConfig


@dataclass(frozen=True)
class Before:
    """A finished run of joint training, or of an earlier takedown.

    Attributes:
        folder: its directory.
        config: its settings; of an earlier takedown, those of the joint training less what was taken down.
        report: its report.
        data: its images.
    """

    folder: Path
    config: JointConfig
    report: dict[str, Any]
    data: RealData


@dataclass(frozen=True)
class Divided:
    """The images of a run, in two parts.

    Attributes:
        forgotten: what is taken down now.
        learned: those of them that the run may have been trained on, itself, before an earlier takedown or by way of
            the generator that it began with: the others left nothing in its weights.
        retained: everything else: training images less these, and the other splits, likewise.
        taken_down: what was taken down before, and now.
    """

    forgotten: Images
    learned: Images
    retained: RealData
    taken_down: Images


def open_before(folder: Path) -> Before:
    """Open the run in ``folder``, and check that its source holds the images that it was trained on.

    Raises:
        MisuseError: it is no such run, was not finished, was made by another version, or its source has changed.
    """
    files = read_run(folder)
    if "arm" not in files.config:
        raise MisuseError(f"{folder} is no run of recipes/joint.py: images are taken down from one of those")
    try:
        settings = {name: value for name, value in files.config.items() if name != "takedown"}
        config = checked(settings, JointConfig)
    except UnsoundError as error:
        raise MisuseError(f"{folder / 'config.yaml'} is of another version ({error}): train again with this") from error
    if not files.report or not (folder / "encoder" / "model.safetensors").is_file():
        raise MisuseError(f"{folder} holds no finished run: finish it with --resume true, or {MEND}")
    if "source" not in files.report:
        raise MisuseError(
            f"{folder / 'report.json'} does not tell which images the run was trained on, as it was made by an earlier"
            " version: train again with this one"
        )
    data = load_images(config.data)
    now = image_identity(data.train.source)
    if now != files.report["source"]:
        raise MisuseError(
            f"{config.data.source} holds other images than {folder} was trained on ({now['rows']:,} rows, of which some"
            f" are not what they were): restore it, or train again"
        )
    return Before(folder, config, files.report, data)


def divide(before: Before, rows: Sequence[int]) -> Divided:
    """The images of ``before`` with those in ``rows`` of its source apart.

    Args:
        rows: at least one.

    Raises:
        MisuseError: no training image would be left.
    """
    train = before.data.train
    taken = sorted({*(before.config.data.exclude or []), *rows})
    if not (~torch.isin(train.source_indices, torch.tensor(taken))).any():
        raise MisuseError(
            f"the list names all {len(train):,} training images of {before.folder}: leave some to train on"
        )
    retained = load_images(replace(before.config.data, image_size=train.image_size, exclude=taken))
    forgotten, every = (train.of_rows(torch.tensor(each)) for each in (list(rows), taken))
    if not len(forgotten):
        raise MisuseError("none of the listed images can be read: list others")
    return Divided(forgotten, _learned(forgotten, before), retained, every)


def _learned(forgotten: Images, before: Before) -> Images:
    config = before.config
    if config.arm != "real" and config.generator.pretrained is not None:
        return forgotten
    earlier = torch.tensor(config.data.exclude or [], dtype=torch.long)
    trained_on = torch.cat([before.data.train.source_indices, earlier])
    return forgotten.subset(torch.isin(forgotten.source_indices, trained_on).nonzero().flatten())

"""Which images a takedown is asked for: those of a list, or those that look like a given one."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from synthdata.data import Images, to_float
from synthdata.data.decode import FORMATS, PixelFormat, UnreadableImageError, decode
from synthdata.emission.run import load_part
from synthdata.errors import MisuseError
from synthdata.evaluation import map_images
from synthdata.models import Encoder
from synthdata.paths import user_path
from synthdata.processes import rank
from synthdata.takedown.before import Before
from synthdata.takedown.config import TakedownConfig
from synthdata.takedown.listing import UnknownEntriesError, listed_rows, read_list
from synthdata.training.collective import on_main_process
from synthdata.training.figures import save_grid

_NEAR = "near:"
_QUANTILE = 0.05
_SHOWN = 48


def named_rows(config: TakedownConfig, before: Before, accelerator: Accelerator) -> list[int]:
    """Rows of the source that ``config.forget`` names.

    Raises:
        MisuseError: it names none, or something else; or nobody has agreed to what near: finds.
    """
    if config.forget.startswith(_NEAR):
        rows, distances, given = _near_rows(config, before, accelerator.device)
        if not config.resume:
            on_main_process(lambda: _agree(config, before, rows, distances, given), accelerator)
        return sorted(rows)
    return rows_of_list(config.forget, before)


def rows_of_list(forget: str, before: Before) -> list[int]:
    """Rows of the source that a list names; unknown entries are told on stderr, a line each.

    Raises:
        MisuseError: there are such, or it is no list.
    """
    data = before.data
    try:
        return listed_rows(read_list(user_path(forget, "forget")), data.train.source, data.classes, data.source)
    except UnknownEntriesError as error:
        if rank() == 0:
            print("\n".join(error.lines), file=sys.stderr)
        raise


def _near_rows(config: TakedownConfig, before: Before, device: torch.device) -> tuple[list[int], list[float], Tensor]:
    """Rows of training images near the given one, nearest first, with their distances; and the given image."""
    path, images = user_path(config.forget.removeprefix(_NEAR), "near:"), before.data.train
    try:
        given = torch.tensor(decode(str(path), PixelFormat(images.channels, images.image_size)))
    except UnreadableImageError as error:
        raise MisuseError(f"{path} is no image ({error}): give one of {', '.join(FORMATS)}") from error
    encoder: Encoder = load_part(before.folder, "encoder").to(device)
    embeddings = map_images(encoder, encoder, images, device)
    with torch.inference_mode():
        own = encoder(to_float(given[None].to(device))).float().cpu()
    distances = 1 - (embeddings @ own.T)[:, 0]
    most = config.near_distance if config.near_distance is not None else _typical_distance(embeddings)
    order = distances.argsort(stable=True)
    order = order[distances[order] <= most]
    if not len(order):
        raise MisuseError(
            f"no training image is within {most:.4f} of {path}, the nearest is at {float(distances.min()):.4f}: raise"
            " --near_distance to see it"
        )
    return images.source_indices[order].tolist(), distances[order].tolist(), given


def _typical_distance(embeddings: Tensor) -> float:
    """The distance to the nearest other one that a share of at most 1000 evenly spread images keeps to."""
    unit = F.normalize(embeddings, dim=1)
    asked = torch.arange(0, len(unit), -(-len(unit) // 1000))
    similarity = unit[asked] @ unit.T
    similarity[torch.arange(len(asked)), asked] = -1
    return float((1 - similarity.amax(1)).quantile(_QUANTILE))


def _agree(config: TakedownConfig, before: Before, rows: list[int], distances: list[float], given: Tensor) -> None:
    """Show what was found, and ask; the picture of it does not stay.

    Raises:
        MisuseError: the answer is not yes, or there is nobody to ask.
    """
    told = ", ".join(f"{row} ({distance:.4f})" for row, distance in zip(rows, distances, strict=True))
    print(f"{len(rows):,} training images are near {config.forget.removeprefix(_NEAR)}, rows (distance): {told}")
    picture = Path(f"{config.output_dir.rstrip('/')}-near.png")
    if config.yes:
        picture.unlink(missing_ok=True)
        return
    shown: Images = before.data.train.of_rows(torch.tensor(rows[:_SHOWN]))
    captions = [f"{row}: {distance:.3f}" for row, distance in zip(rows, distances, strict=True)][:_SHOWN]
    near = to_float(shown.gather())
    save_grid(picture, [("given", to_float(given[None]), None), ("near", near, captions)])
    if not sys.stdin.isatty():
        raise MisuseError(f"nobody can be asked: look at {picture}, then add --yes, which also removes it")
    answer = input(f"They are shown in {picture}. Take them all down? [y/N] ")
    picture.unlink(missing_ok=True)
    if answer.strip().lower() not in ("y", "yes"):
        raise MisuseError("nothing was taken down: choose another --near_distance, or list the images")

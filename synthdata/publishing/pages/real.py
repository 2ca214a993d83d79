"""The real images that a dataset was made from, or that its relations are between, to be shown with its rows."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthdata.errors import MisuseError
from synthdata.publishing.pages.images import Picture, picture
from synthdata.publishing.pages.provenance import source_of
from synthdata.run_files import read_run_file


class RealImages:
    """The training images of a dataset's run, by their row in the source.

    Args:
        manifest: of the dataset.
        run: directory of its run, for settings of the source that the manifest does not tell; None if it is not at
            hand.

    Raises:
        MisuseError: the source is not at hand, or is another one by now.
    """

    def __init__(self, manifest: dict[str, Any], run: Path | None = None) -> None:
        from synthdata.data import DataConfig, load_images  # slow to import

        told = source_of(manifest)
        if told is None:
            raise MisuseError("the manifest does not tell where the real images are from: leave out --show_real")
        settings = {"source": told["data"], "limit": told["limit"], "channels": told["channels"]}
        settings |= {"image_size": told["image_size"]}
        if run is not None:
            settings = read_run_file(run / "config.yaml", dict[str, Any])["data"] | settings
        self._images = load_images(DataConfig(**settings)).train
        content = self._images.source_indices if self._images.pixels is None else self._images.pixels
        if hashlib.sha256(content.contiguous().numpy().data).hexdigest() != told["sha256"]:
            raise MisuseError(
                f"{told['data']} holds other images than the dataset was made from: restore them, name its run with "
                "--run, or leave out --show_real"
            )
        self._places = {row: place for place, row in enumerate(self._images.source_indices.tolist())}

    def of_row(self, row: int) -> Picture | None:
        """The image in a row of the source; None if training did not see it."""
        if row not in self._places:
            return None
        return picture(_png(self._images[self._places[row]].permute(1, 2, 0).numpy()), f"real image {row}")


class SourceImages:
    """The images that relations are between, by their row in the source.

    Args:
        manifest: of the constructed dataset.

    Raises:
        MisuseError: the source is not at hand, has no images, or is another one by now.
    """

    def __init__(self, manifest: dict[str, Any]) -> None:
        from synthdata.data import DataConfig, load_images  # slow to import
        from synthdata.data.identity import image_identity

        name, identity = manifest["construction"]["source"]["data"], manifest["run"]["source"]
        kept = "construct it with --embed_rows true to show its images, or leave out --show_real"
        if name.partition(":")[0] not in ("digits", "torchvision", "hf"):
            raise MisuseError(f"the manifest does not tell where {name} lies: {kept}")
        self._images = load_images(DataConfig(name)).train.source
        if image_identity(self._images)["sha256"] != identity.get("images_sha256", identity["sha256"]):
            raise MisuseError(f"{name} holds other images than the relations are between: {kept}")

    def encoded(self, row: int) -> bytes:
        """The image in a row of the source, as its file has it, or as a PNG."""
        from synthdata.data.identity import stored  # slow to import

        content = self._images.rows.read(row)
        return _png(content) if isinstance(content, np.ndarray) else stored(content)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W, C) or (H, W) pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()

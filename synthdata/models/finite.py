"""Weights that can be computed with: a file of NaN loads like any other, and makes images that are black."""

from pathlib import Path

from safetensors import safe_open

from synthdata.errors import MisuseError


def check_finite(folder: Path) -> None:
    """Check every floating-point tensor in the safetensors files of ``folder`` and the folders in it.

    Raises:
        MisuseError: naming the first file and tensor that hold NaN or infinity.
        SafetensorError: a file is damaged.
    """
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                tensor = file.get_tensor(name)
                if tensor.is_floating_point() and not tensor.isfinite().all():
                    raise MisuseError(f"{path} holds {name}, which is not finite: restore the file or train again")

"""``synthdata slim DIR --ratio 0.5 --output DIR``."""

from dataclasses import dataclass
from typing import Annotated

from synthdata.configuration import positional
from synthdata.errors import MisuseError
from synthdata.paths import PathText, user_path
from synthdata.ranges import Range


@dataclass
class SlimConfig:
    """Cut a smaller encoder out of a trained one, and print what both cost.

    Of every layer it keeps the channels whose weights have the largest L1 norm, tied ones together. The result is not
    trained further and so loses accuracy; `recipes/contrast.py --method sacl_xd` trains it within the larger one.

    Attributes:
        folder: runs/NAME/encoder or runs/NAME/host, or OWNER/NAME on the Hub.
        ratio: share of the channels that is kept.
        output: folder of the smaller encoder.
    """

    folder: PathText = positional("DIR")
    ratio: Annotated[float, Range(0, 1, open_low=True)] = 0.5
    output: PathText = "runs/slim/encoder"


def slim(config: SlimConfig) -> None:
    """Cut, save, and tell."""
    output = user_path(config.output, "output")
    if output.exists():
        raise MisuseError(f"{output} exists already: remove it, or name another --output")
    from synthdata.models import Encoder, cost_of, cut_by_norm, images_per_second
    from synthdata.training.run_directory import RunDirectory

    encoder = Encoder.from_pretrained(config.folder)
    cut = cut_by_norm(encoder, config.ratio)
    RunDirectory(output.parent).replace_folder(output, cut.save_pretrained)
    print(f"{'':<10} {'parameters':>12} {'operations of an image':>24} {'images per second':>18}")
    encoders = {"encoder": encoder, "cut out": cut}
    for (name, each), rate in zip(encoders.items(), images_per_second([encoder, cut]), strict=True):
        cost = cost_of(each)
        print(f"{name:<10} {cost.parameters:>12,} {cost.operations:>24,} {rate:>18,.0f}")
    print(f"saved as {output}")

"""Measure the speed of a part on this machine, next to what it is compared with, in one run.

    python recipes/benchmark.py emission --run runs/digits --kind hard --rows 2000
    python recipes/benchmark.py views --batch 256 --image_size 32

`emission` prints generated images per second of the generator's bare forward pass, of choosing rows, and of a whole
emission, its ratios to both (the second tells what encoding and writing cost), and the peak memory of this process:
measure 1,000 and 100,000 rows to see that it does not grow. `views` prints milliseconds per batch of this package's
random views, of kornia's (pip install kornia) and of torchvision's. A machine that does nothing else gives steady
numbers; OMP_NUM_THREADS sets the number of CPU threads.
"""

import argparse
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from synthdata.emission.rates import emission_rates
from synthdata.emission.run import load_run
from synthdata.errors import one_line_errors
from synthdata.views import ViewConfig
from synthdata.views.rates import view_rates


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    device = torch.device(options.device)
    print(f"device {device}, {torch.get_num_threads()} CPU threads, torch {torch.__version__}")
    options.measure(options, device)


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    program = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    verbs = program.add_subparsers(title="what to measure", metavar="PART", required=True)

    emission = verbs.add_parser("emission", help="emission against the generator's bare forward pass")
    emission.add_argument("--run", type=Path, default=Path("runs/digits"), help="a finished run (default: %(default)s)")
    emission.add_argument(
        "--kind", choices=("hard", "pairs"), default="hard", help="rows to make (default: %(default)s)"
    )
    emission.add_argument("--rows", type=_count, default=2000, help="rows of a turn (default: %(default)s)")
    emission.add_argument("--repeats", type=_count, default=3, help="turns; medians are told (default: %(default)s)")
    emission.set_defaults(measure=measure_emission)

    views = verbs.add_parser("views", help="random views against kornia's and torchvision's")
    views.add_argument("--batch", type=_count, default=256, help="RGB images of a batch (default: %(default)s)")
    views.add_argument("--image_size", type=_count, default=32, help="side in pixels (default: %(default)s)")
    views.add_argument("--rounds", type=_count, default=15, help="rounds; medians are told (default: %(default)s)")
    views.add_argument("--blur", action="store_true", help="blur half of the images as well")
    views.set_defaults(measure=measure_views)

    for verb in (emission, views):
        default = "cuda" if torch.cuda.is_available() else "cpu"
        verb.add_argument("--device", default=default, help="cpu, cuda, cuda:1, … (default: %(default)s)")
    return program


def measure_emission(options: argparse.Namespace, device: torch.device) -> None:
    """Print the rates of one kind of rows."""
    rates = emission_rates(load_run(options.run, device), options.kind, options.rows, device, options.repeats)
    print(f"generator, bare forward   {rates.generator:10,.0f} images/s")
    print(f"selection                 {rates.selection:10,.0f} images/s")
    print(f"emission                  {rates.emission:10,.0f} images/s   {rates.rows:,.0f} rows/s")
    print(f"emission / generator      {rates.emission / rates.generator:10.2f}")
    print(f"emission / selection      {rates.emission / rates.selection:10.2f}")
    print(f"peak RSS at {options.rows:,} rows: {_peak_mebibytes():,.0f} MiB")


def measure_views(options: argparse.Namespace, device: torch.device) -> None:
    """Print a table of implementations."""
    config = ViewConfig(blur_probability=0.5 if options.blur else 0.0)
    print(f"{'ms per batch of ' + str(options.batch):<38} {'forward':>10} {'and backward':>14}")
    for rate in view_rates(config, options.image_size, options.batch, options.rounds, device):
        backward = "" if rate.forward_backward is None else f"{rate.forward_backward:.2f}"
        print(f"{rate.name:<38} {rate.forward:>10.2f} {backward:>14}")


def _peak_mebibytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


if __name__ == "__main__":
    with one_line_errors():
        main()

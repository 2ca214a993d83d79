"""Measure the speed of a part on this machine, next to what it is compared with, in one run.

    python recipes/benchmark.py emission --run runs/digits --kind hard --rows 2000
    python recipes/benchmark.py views --batch 256 --image_size 32
    accelerate launch recipes/benchmark.py headline --data.source torchvision:CIFAR10 --budget_minutes 9
    accelerate launch recipes/benchmark.py profile --config recipes/configs/cifar10.yaml
    accelerate launch recipes/benchmark.py throughput --peer lightly
    python recipes/benchmark.py reading --shards out/digits
    python recipes/benchmark.py tuning --run runs/digits --before runs/digits-inflate/generator --grid before-after.png

`emission` prints generated images per second of the generator's bare forward pass, of choosing rows, and of a whole
emission, its ratios to both (the second tells what encoding and writing cost), and the peak memory of this process:
measure 1,000 and 100,000 rows to see that it does not grow. `views` prints milliseconds per batch of this package's
random views, of kornia's (pip install kornia) and of torchvision's. `headline` trains all arms on the same images and
prints the table so far; it stops in time, and the same command goes on. `profile` prints where the time of a joint step
goes. `throughput` trains SimCLR by this package and by another, on the same encoder, batch and views, and prints the
images per second of both; `reading` does so for reading shards, beside plain webdataset. `tuning` prints how
hard and how realistic a run's generator was before and after tuning. `headline` and `profile` take
the settings of recipes/joint.py as well, from recipes/configs/cifar10.yaml if no other --config is given; `--preset
smoke` makes them small enough for two CPU cores. A machine that does nothing else gives steady numbers; OMP_NUM_THREADS
sets the number of CPU threads.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch

from synthdata.benchmarks.emission_rates import emission_rates
from synthdata.benchmarks.headline import HeadlineConfig, run_headline
from synthdata.benchmarks.profiling import ProfileConfig, format_profile, peak_mebibytes, profile_joint
from synthdata.benchmarks.reading_rates import reading_rates
from synthdata.benchmarks.throughput import ThroughputConfig, measure_throughput
from synthdata.benchmarks.tuning import measure_tuning
from synthdata.benchmarks.view_rates import view_rates
from synthdata.configuration import parse, read_over
from synthdata.emission.run import load_run
from synthdata.errors import one_line_errors
from synthdata.models import load_generator
from synthdata.views import ViewConfig

CONFIGS = Path(__file__).parent / "configs"
Config = TypeVar("Config", HeadlineConfig, ProfileConfig)


def main(arguments: Sequence[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in ("headline", "profile", "throughput"):
        {"headline": headline, "profile": profile, "throughput": throughput}[arguments[0]](arguments[1:])
        return
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

    reading = verbs.add_parser("reading", help="images read from shards against plain webdataset")
    reading.add_argument("--shards", type=Path, default=Path("out/digits"), help="a dataset (default: %(default)s)")
    reading.add_argument("--rounds", type=_count, default=5, help="rounds; medians are told (default: %(default)s)")
    reading.set_defaults(measure=measure_reading, device="cpu")

    tuning = verbs.add_parser("tuning", help="a generator before and after tuning, on the same latents")
    tuning.add_argument("--run", type=Path, default=Path("runs/digits"), help="a finished run (default: %(default)s)")
    tuning.add_argument("--before", required=True, help="the generator that the run was given as generator.pretrained")
    tuning.add_argument("--samples", type=_count, default=2000, help="of each member (default: %(default)s)")
    tuning.add_argument("--grid", type=Path, help="also draw the first twelve samples into this PNG file")
    tuning.set_defaults(measure=measure_tuned)

    verbs.add_parser("headline", help="all arms at equal encoder steps, in slices (its settings: headline --help)")
    verbs.add_parser("profile", help="where the time of a joint step goes (its settings: profile --help)")
    verbs.add_parser("throughput", help="contrastive training against lightly's (its settings: throughput --help)")

    for verb in (emission, views, tuning):
        default = "cuda" if torch.cuda.is_available() else "cpu"
        verb.add_argument("--device", default=default, help="cpu, cuda, cuda:1, … (default: %(default)s)")
    return program


def headline(arguments: Sequence[str]) -> None:
    """Go on with the table of all arms and print it."""
    outcome = run_headline(configured(HeadlineConfig, arguments))
    if outcome.text:
        print(outcome.text)
    sys.exit(outcome.exit_code)


def profile(arguments: Sequence[str]) -> None:
    """Print the phases of a joint step."""
    print(format_profile(profile_joint(configured(ProfileConfig, arguments))))


def throughput(arguments: Sequence[str]) -> None:
    """Print the rates of contrastive training, ours and the peer's."""
    config = parse(ThroughputConfig, ThroughputConfig.__doc__ or "", arguments)
    rates = measure_throughput(config)
    print(f"SimCLR, {config.encoder.backbone} at {config.image_size} px, batch {config.train.batch_size}")
    print(f"synthdata                 {rates.ours:10,.0f} images/s")
    print(f"{f'{config.peer}, {rates.workers} workers':<25} {rates.peer:10,.0f} images/s")
    print(f"synthdata / {config.peer:<13} {rates.ours / rates.peer:10.2f}")


def configured(config_class: type[Config], arguments: Sequence[str]) -> Config:
    """Settings from configuration files, then the preset's file, then flags."""
    told = any(argument.startswith("--config") for argument in arguments)
    default_file = None if told else CONFIGS / "cifar10.yaml"
    presets = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    presets.add_argument("--preset")
    if presets.parse_known_args(arguments)[0].preset == "smoke":
        arguments = read_over(arguments, CONFIGS / "smoke.yaml")
    return parse(config_class, config_class.__doc__ or "", arguments, default_file)


def measure_emission(options: argparse.Namespace, device: torch.device) -> None:
    """Print the rates of one kind of rows."""
    rates = emission_rates(load_run(options.run, device), options.kind, options.rows, device, options.repeats)
    print(f"generator, bare forward   {rates.generator:10,.0f} images/s")
    print(f"selection                 {rates.selection:10,.0f} images/s")
    print(f"emission                  {rates.emission:10,.0f} images/s   {rates.rows:,.0f} rows/s")
    print(f"emission / generator      {rates.emission / rates.generator:10.2f}")
    print(f"emission / selection      {rates.emission / rates.selection:10.2f}")
    print(f"peak RSS at {options.rows:,} rows: {peak_mebibytes(torch.device('cpu')):,.0f} MiB")


def measure_reading(options: argparse.Namespace, device: torch.device) -> None:
    """Print the rates of reading a dataset."""
    rates = reading_rates(options.shards, options.rounds)
    print(f"synthdata, streaming      {rates.streaming:10,.0f} images/s")
    print(f"synthdata, in memory      {rates.resident:10,.0f} images/s")
    print(f"webdataset                {rates.webdataset:10,.0f} images/s")
    print(f"streaming / webdataset    {rates.streaming / rates.webdataset:10.2f}")


def measure_tuned(options: argparse.Namespace, device: torch.device) -> None:
    """Print a table of the stages of tuning."""
    effect = measure_tuning(options.run, load_generator(options.before), options.samples, device, options.grid)
    print(f"{'':<16} {'Fréchet distance':>17} {'hardness, nats':>15} {'under the realism floor':>24}")
    for name, stage in effect.stages.items():
        print(f"{name:<16} {stage.frechet_distance:>17.4f} {stage.hardness:>15.3f} {stage.under_floor:>23.1%}")
    print(f"real images: hardness {effect.real_hardness:.3f} nats; pairs: similarity {effect.similarity:.3f}")


def measure_views(options: argparse.Namespace, device: torch.device) -> None:
    """Print a table of implementations."""
    config = ViewConfig(blur_probability=0.5 if options.blur else 0.0)
    print(f"{'ms per batch of ' + str(options.batch):<38} {'forward':>10} {'and backward':>14}")
    for rate in view_rates(config, options.image_size, options.batch, options.rounds, device):
        backward = "" if rate.forward_backward is None else f"{rate.forward_backward:.2f}"
        print(f"{rate.name:<38} {rate.forward:>10.2f} {backward:>14}")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


if __name__ == "__main__":
    with one_line_errors():
        main()

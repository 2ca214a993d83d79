"""What tuning did to a generator: hardness gained, and what it cost in realism."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from synthdata.benchmarks.machine import describe_machine, open_device
from synthdata.configuration import parse
from synthdata.data import load_images, to_float, to_uint8
from synthdata.emission.run import Run, load_run
from synthdata.emission.scoring import BANK_SIZE, forward_batch, hardness_views, mean_hardness
from synthdata.errors import MisuseError
from synthdata.evaluation import extract_features, frechet_distance
from synthdata.evaluation.features import map_images
from synthdata.models import Generator, Member, load_generator
from synthdata.objectives import pair_similarity
from synthdata.paths import PathText
from synthdata.ranges import PositiveInt
from synthdata.rng import latents_at
from synthdata.training.config import JointConfig
from synthdata.training.figures import save_grid

GRID_IMAGES = 12
STAGES: dict[str, Member] = {"before": "a", "after, member a": "a", "after, member b": "b"}


@dataclass
class TuningConfig:
    """How hard and how realistic a run's generator was before and after tuning, on the same latents.

    Attributes:
        before: the generator that the run was given as generator.pretrained.
        run: directory of a finished run.
        samples: of each member.
        grid: also draw the first twelve samples into this PNG file.
        device: cpu, cuda, cuda:1, …; a GPU where there is one, if not given.
    """

    before: PathText
    run: PathText = "runs/digits"
    samples: PositiveInt = 2000
    grid: PathText | None = None
    device: str | None = None


@dataclass(frozen=True)
class Stage:
    """Samples of one member before or after tuning, by the encoder as it is after.

    Attributes:
        frechet_distance: to the validation images, in the encoder's features.
        hardness: mean, in nats.
        under_floor: share of the samples whose realism is below the floor.
    """

    frechet_distance: float
    hardness: float
    under_floor: float


@dataclass(frozen=True)
class TuningEffect:
    """Attributes:
    stages: by name, in the order of ``STAGES``.
    real_hardness: mean hardness of the validation images, in nats, for comparison.
    similarity: mean similarity of the pairs after tuning.
    """

    stages: dict[str, Stage]
    real_hardness: float
    similarity: float


def tuning_table(config: TuningConfig) -> str:
    """The stages of tuning as lines to print.

    Raises:
        MisuseError: the run or the generator cannot be used, or there is no such device.
    """
    device, grid = open_device(config.device), Path(config.grid) if config.grid else None
    effect = measure_tuning(Path(config.run), load_generator(config.before), config.samples, device, grid)
    heading = f"{'':<16} {'Fréchet distance':>17} {'hardness, nats':>15} {'under the realism floor':>24}"
    stages = [
        f"{name:<16} {stage.frechet_distance:>17.4f} {stage.hardness:>15.3f} {stage.under_floor:>23.1%}"
        for name, stage in effect.stages.items()
    ]
    real = f"real images: hardness {effect.real_hardness:.3f} nats; pairs: similarity {effect.similarity:.3f}"
    return "\n".join([describe_machine(device), heading, *stages, real])


@torch.inference_mode()
def measure_tuning(
    folder: Path, before: Generator, count: int, device: torch.device, grid: Path | None = None
) -> TuningEffect:
    """Compare the generator of a run with the one that its tuning began with, on the same latents.

    Both are judged by the encoder at the end of the run, and by the realism of ``before``, with the floor at that
    quantile of the training images that the run was told.

    Args:
        folder: the run directory.
        before: a generator of the same latents, such as the one that the run was given as generator.pretrained.
        count: samples of each member.
        grid: a PNG file for the first twelve samples of each stage.

    Raises:
        MisuseError: if ``folder`` is no finished run, or ``before`` does not fit its generator.
    """
    run = load_run(folder, device)
    config = parse(JointConfig, "", ["--config", str(folder / "config.yaml")])
    if before.latent_shape != run.generator.latent_shape:
        raise MisuseError(
            f"the generator before has latents of {before.latent_shape}, that of {folder} of"
            f" {run.generator.latent_shape}: name the generator that this run began with"
        )
    before = before.to(device).eval()
    validation = load_images(config.data).validation
    real_features = extract_features(run.encoder, validation, device)
    bank = map_images(run.encoder, run.encoder, run.images, device, BANK_SIZE).to(device)
    views = hardness_views(run.view, config.seed)

    def hardness_of(images: Tensor) -> Tensor:
        return mean_hardness(run, images, views, bank)

    real_realism = map_images(before.realism, before, run.images, device, BANK_SIZE)
    floor = real_realism.quantile(config.synthetic.realism_floor)
    stages, samples = {}, {}
    for name, member in STAGES.items():
        generator = before if name == "before" else run.generator
        samples[name] = torch.cat(list(_samples(generator, member, count, config.seed, device)))
        judges = (run.encoder.features, hardness_of, before.realism)
        features, hard, realism = (_batched(judge, samples[name], device) for judge in judges)
        under_floor = (realism < floor).float().mean().item()
        stages[name] = Stage(frechet_distance(features, real_features), hard.mean().item(), under_floor)
    if grid is not None:
        save_grid(grid, [(name, to_float(images[:GRID_IMAGES]), None) for name, images in samples.items()])
    real_hardness = map_images(hardness_of, run.encoder, validation, device, BANK_SIZE).mean().item()
    return TuningEffect(stages, real_hardness, _similarity(run, samples, device))


def _samples(generator: Generator, member: Member, count: int, seed: int, device: torch.device) -> Iterator[Tensor]:
    """Batches of uint8 images of the first ``count`` latents, on the CPU."""
    for indices in torch.arange(count).split(forward_batch(device)):
        latents = latents_at(seed, indices, generator.latent_shape).to(device)
        yield to_uint8(generator.sample(latents, member, averaged=True)).cpu()


def _batched(function: Callable[[Tensor], Tensor], pixels: Tensor, device: torch.device) -> Tensor:
    batches = pixels.split(forward_batch(device))
    return torch.cat([function(to_float(batch.to(device))).float().cpu() for batch in batches])


def _similarity(run: Run, samples: dict[str, Tensor], device: torch.device) -> float:
    first, second = (_batched(run.encoder, samples[name], device) for name in list(STAGES)[1:])
    return pair_similarity(first, second).mean().item()

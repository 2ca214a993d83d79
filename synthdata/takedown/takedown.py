"""One takedown from its list to a complete run directory."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from synthdata.data import Images, stream, to_float
from synthdata.emission.forgotten import FILE, Forgotten
from synthdata.emission.run import load_part, model_identity
from synthdata.errors import MisuseError
from synthdata.evaluation import scores_and_draws
from synthdata.evaluation.features import evaluated
from synthdata.models import Encoder, Generator, load_generator, synchronise_batch_norm
from synthdata.settings import settings_of
from synthdata.takedown.before import Before, Divided, divide, open_before
from synthdata.takedown.config import ForgettingConfig, GeneratorWay, TakedownConfig, TakedownRunConfig
from synthdata.takedown.forgetting import EncoderForgetting
from synthdata.takedown.generator import GeneratorRetraining, GeneratorTuning
from synthdata.takedown.in_turn import InTurn
from synthdata.takedown.named import named_rows
from synthdata.training.acceleration import to_device
from synthdata.training.collective import on_main_process
from synthdata.training.execution import Refresh, execute, finished_report, start_accelerator
from synthdata.training.loop import Training
from synthdata.training.run_directory import RunDirectory, writing
from synthdata.training.train import new_generator, train_joint

_BATCH = 256


def take_down(config: TakedownConfig, refresh: Refresh | None = None) -> dict[str, Any]:
    """Take the listed images out of a run; the run before is only read.

    Args:
        refresh: as for ``execute``.

    Returns:
        The content of report.json, on the first process.

    Raises:
        MisuseError: the list, the run or the settings cannot be used.
        FailureError: a loss is not finite, or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C; the same command with --resume true goes on.
    """
    if Path(config.output_dir).resolve() == Path(config.run).resolve():
        raise MisuseError(f"{config.run} is the run before, which stays as it is: name another --output_dir")
    before = open_before(Path(config.run))
    settings = ForgettingConfig(**settings_of(config, ForgettingConfig))
    run_config = _run_config(config, settings, before)
    accelerator = start_accelerator(run_config)
    rows = named_rows(config, before, accelerator)
    return take_down_rows(run_config, before, rows, accelerator, refresh)


def take_down_rows(
    config: TakedownRunConfig,
    before: Before,
    rows: list[int],
    accelerator: Accelerator,
    refresh: Refresh | None = None,
    deadline: float | None = None,
) -> dict[str, Any]:
    """As ``take_down``, of rows of the source of ``before``; ``deadline`` is as for ``execute``."""
    images = divide(before, rows)
    taken = images.taken_down.candidates.tolist()
    size = before.data.train.image_size
    config = replace(config, data=replace(config.data, image_size=size, exclude=taken))
    if config.takedown.method == "retrain":
        train_joint(config, images.retained, deadline, refresh)
        return _account_for_retraining(config, before, images, accelerator)
    if (report := finished_report(config, accelerator)) is not None:
        return report
    encoder, training = build_takedown(config, before, images, accelerator)

    def finish(run: RunDirectory) -> dict[str, Any]:
        forgetting, generator = training.parts["encoder"], training.generator
        assert isinstance(forgetting, EncoderForgetting)
        run.replace_folder(run.encoder, encoder.save_pretrained)
        if generator is not None:
            run.replace_folder(run.generator, generator.save_pretrained)
        settings, device = config.evaluation, accelerator.device
        scores = scores_and_draws(encoder, images.retained, device, settings.limit, settings.labels, settings.test)
        return {
            "arm": config.arm,
            "seed": config.seed,
            "steps": forgetting.steps_taken,
            "images_seen": (forgetting.steps_taken or 0) * forgetting.batch,
            "source": before.report["source"],
            **_account(config, before, images, encoder, run, device),
            **scores,
        }

    return execute(training, config, accelerator, finish, deadline=deadline, refresh=refresh)


class _TakedownTraining(InTurn):
    """Encoder, then generator."""

    def __init__(self, parts: dict[str, Training], generator: Generator | None) -> None:
        super().__init__(parts)
        self.generator = generator


def build_takedown(
    config: TakedownRunConfig, before: Before, images: Divided, accelerator: Accelerator
) -> tuple[Encoder, _TakedownTraining]:
    """The training of a takedown at its first iteration, and the encoder that it is of.

    Where none of the images was learned, encoder and generator are those of the run before, and nothing is trained.

    Raises:
        MisuseError: the run before has no such models, or they cannot forget in the way that is asked for.
    """
    set_seed(config.seed)
    device = accelerator.device
    if config.train.objective == "sacl_xd":
        raise MisuseError(f"{before.folder} trained by sacl_xd, whose two encoders share weights: add --method retrain")
    encoder: Encoder = load_part(before.folder, "encoder")
    to_device(encoder.train(), device)
    synchronise_batch_norm(encoder, device)
    parts: dict[str, Training] = {"encoder": EncoderForgetting(config, encoder, images, accelerator)}
    generator = None
    if config.arm != "real":
        way, learned = generator_way(config), len(images.learned) > 0
        if way == "tune" or not learned:
            generator = load_generator(before.folder / "generator", config.generator.gan)
        else:
            generator = new_generator(config.generator, encoder.image_size, encoder.channels)
        to_device(generator, device)

        def forgotten() -> Forgotten:
            return known_of(encoder, images, device)

        if way == "tune" and learned:
            parts["generator"] = GeneratorTuning(config, images, encoder, generator, accelerator, forgotten)
        elif learned:
            parts["generator"] = GeneratorRetraining(config, images, encoder, generator, accelerator)
    return encoder, _TakedownTraining(parts, generator)


def generator_way(config: TakedownRunConfig) -> GeneratorWay:
    """How the generator of ``config`` loses the images.

    Raises:
        MisuseError: it cannot in the way that is asked for.
    """
    kind, way = config.generator.kind, config.takedown.generator
    if way == "tune" and kind != "gan":
        raise MisuseError(
            f"a {kind} model cannot be tuned away from images, as its frozen base would keep them: add --generator"
            " retrain"
        )
    return way or ("tune" if kind == "gan" else "retrain")


@torch.inference_mode()
def known_of(encoder: Encoder, images: Divided, device: torch.device) -> Forgotten:
    """What the memorisation guard is to know of all images that were taken down."""

    def embedded(part: Images) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in stream(part, torch.arange(len(part)).split(_BATCH), device, workers=0):
            yield encoder(to_float(batch)).float(), batch

    with evaluated(encoder):
        return Forgotten.of(embedded(images.taken_down), embedded(images.retained.train))


def _run_config(config: TakedownConfig, settings: ForgettingConfig, before: Before) -> TakedownRunConfig:
    """The settings of the run before, with those of the takedown; checks that the two go together."""
    kept = settings_of(before.config, type(before.config))
    run = TakedownRunConfig(**kept | {"output_dir": config.output_dir, "resume": config.resume, "page": config.page})
    run = replace(run, takedown=settings)
    if run.arm != "real":
        generator_way(run)
        if settings.method == "retrain" or generator_way(run) == "retrain":
            _require_own_generator(run)
    return run


def _require_own_generator(config: TakedownRunConfig) -> None:
    """Raise ``MisuseError`` for a generator that began as one which may have seen the images."""
    if config.generator.pretrained is not None:
        raise MisuseError(
            f"{config.takedown.run} began with the generator {config.generator.pretrained}, which may have seen the"
            " images: train anew with recipes/joint.py and --data.exclude, from a generator that has not"
        )


def _account_for_retraining(
    config: TakedownRunConfig, before: Before, images: Divided, accelerator: Accelerator
) -> dict[str, Any]:
    def account() -> dict[str, Any]:
        run = RunDirectory(Path(config.output_dir))
        report = finished_report(replace(config, resume=True), accelerator) or {}
        encoder = load_part(run.path, "encoder").to(accelerator.device)
        report |= _account(config, before, images, encoder, run, accelerator.device)
        run.write_json(run.report, report)
        return report

    return on_main_process(account, accelerator) or {}


def _account(
    config: TakedownRunConfig,
    before: Before,
    images: Divided,
    encoder: Encoder,
    run: RunDirectory,
    device: torch.device,
) -> dict[str, Any]:
    """What the report tells of the takedown; what the guard is to know is written beside it."""
    aside = run.path / f".{FILE}.partial"
    with writing(run.path / FILE):
        known_of(encoder, images, device).save(aside)
        aside.replace(run.path / FILE)
    generator = None if config.arm == "real" else generator_way(config)
    return {
        "takedown": {
            "method": config.takedown.method,
            "generator": "retrain" if generator and config.takedown.method == "retrain" else generator,
            "forgotten": len(images.forgotten),
            "never_trained_on": len(images.forgotten) - len(images.learned),
            "taken_down": len(images.taken_down),
            "before": {"encoder": model_identity(before.folder / "encoder", encoder)["sha256"]},
            "wall_seconds_before": before.report.get("wall_seconds"),
        }
    }

"""Where the time of a joint step goes, and what the step would cost on a machine that wastes none."""

import contextlib
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from synthdata.benchmarks.machine import peak_mebibytes, synchronise
from synthdata.data import Images, RealData
from synthdata.data.decode import PixelFormat
from synthdata.data.source import ArrayRows, SourceSplit
from synthdata.ranges import PositiveFloat, PositiveInt
from synthdata.rng import generator_at
from synthdata.training.acceleration import compile_networks
from synthdata.training.config import Arm, JointConfig
from synthdata.training.execution import device_name, start_accelerator
from synthdata.training.joint import JointTraining
from synthdata.training.train import build_training

PHASES = (
    "views",
    "synthetic images",
    "encoder forward",
    "encoder backward",
    "discriminator",
    "generator",
    "optimisers",
    "everything else",
)

_PEAK_TFLOPS = {"H100 PCIe": 756.0, "H100 NVL": 835.0, "H100": 989.0, "H200": 989.0, "A100": 312.0}
"""Dense bfloat16 operations per second of tensor cores, in units of 10¹², by a part of the device's name; the first
that fits. From NVIDIA's data sheets."""


@dataclass
class ProfileConfig(JointConfig):
    """Times joint steps on random pixels: their cost does not depend on what the images show.

    Attributes:
        arm: whose steps are timed, next to those of inflate.
        rounds: rounds of the measurement; medians are told.
        preset: "smoke" reads sizes for two CPU cores over the configuration files, before the flags.
        peak_tflops: what the device computes at most, in 10¹² operations per second; known for some GPUs with bf16.
    """

    rounds: PositiveInt = 5
    preset: Literal["full", "smoke"] = "full"
    peak_tflops: PositiveFloat | None = None


@dataclass(frozen=True)
class Profile:
    """Attributes:
    phases: milliseconds of a step by phase, without the phases inside it; a mean over all steps, since generators are
        tuned at some of them only.
    step: milliseconds of a step that is not divided into phases, a median over rounds.
    cost: that over a step of inflate, a median over rounds that alternate between the two.
    batch: anchors of a step.
    flops: floating-point operations of a step's products and convolutions, a mean over all steps.
    peak_mebibytes: the most memory in use: of the device where it counts, else of the process.
    peak_tflops: of the device; None where unknown.
    machine: device, precision and networks, in words.
    """

    phases: dict[str, float]
    step: float
    cost: float
    batch: int
    flops: float
    peak_mebibytes: float
    peak_tflops: float | None
    machine: str


class PhaseClock:
    """Times phases on a device without making the host wait for it: each has the time outside the phases within it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._open = ["everything else"]
        self._marks: list[tuple[str, torch.cuda.Event | float]] = []

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A part of what is timed."""
        self._open.append(name)
        self._mark()
        try:
            yield
        finally:
            self._open.pop()
            self._mark()

    def milliseconds(self) -> Counter[str]:
        """Time of each phase since the last call, or the clock's first mark."""
        self._mark()
        synchronise(self._device)
        spent: Counter[str] = Counter()
        for (name, start), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            spent[name] += _elapsed(start, end)  # type: ignore[assignment]
        self._marks.clear()
        self._mark()
        return spent

    def _mark(self) -> None:
        if self._device.type != "cuda":
            self._marks.append((self._open[-1], time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._marks.append((self._open[-1], event))


def _elapsed(start: torch.cuda.Event | float, end: torch.cuda.Event | float) -> float:
    if isinstance(start, float) or isinstance(end, float):
        assert isinstance(start, float)
        assert isinstance(end, float)
        return 1e3 * (end - start)
    return start.elapsed_time(end)


def profile_table(config: ProfileConfig) -> str:
    """The phases of a joint step as lines to print."""
    return format_profile(profile_joint(config))


def profile_joint(config: ProfileConfig) -> Profile:
    """Measure the steps of ``config.arm``."""
    accelerator = start_accelerator(config)
    device = accelerator.device
    joint = _training(config, config.arm, accelerator)
    cycle = _Cycle(config)
    flops = cycle.count_operations(joint)
    _warm_up(joint, cycle, config)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    cycle.run(joint)
    memory = peak_mebibytes(device)
    inflate = _training(config, "inflate", accelerator)
    _warm_up(inflate, cycle, config)

    phases: Counter[str] = Counter()
    steps, costs = [], []
    for _ in range(config.rounds):
        steps.append(cycle.milliseconds(joint))
        costs.append(steps[-1] / cycle.milliseconds(inflate))
        phases.update(cycle.phases(joint))
    return Profile(
        phases={name: phases[name] / config.rounds / cycle.steps for name in PHASES},
        step=statistics.median(steps),
        cost=statistics.median(costs),
        batch=config.train.batch_size * config.train.accumulation,
        flops=flops,
        peak_mebibytes=memory,
        peak_tflops=config.peak_tflops or _known_peak(device, config.train.mixed_precision),
        machine=_describe(config, device),
    )


class _Cycle:
    """The steps after which those with a generator step and those with its penalty come again."""

    def __init__(self, config: JointConfig) -> None:
        self.steps = math.lcm(config.synthetic.generator_every, config.generator.gan.r1_interval)

    def run(self, training: JointTraining) -> None:
        # The first cycle would begin with the copy of the generator that a run makes once.
        for iteration in range(self.steps, 2 * self.steps):
            training.run(iteration)

    def milliseconds(self, training: JointTraining) -> float:
        """Of a step, a mean over the cycle."""
        device = training.accelerator.device
        synchronise(device)
        start = time.perf_counter()
        self.run(training)
        synchronise(device)
        return 1e3 * (time.perf_counter() - start) / self.steps

    def phases(self, training: JointTraining) -> Counter[str]:
        """Milliseconds of the whole cycle by phase."""
        clock = PhaseClock(training.accelerator.device)
        silent, training.phase = training.phase, clock.phase
        clock.milliseconds()
        self.run(training)
        spent = clock.milliseconds()
        training.phase = silent
        return spent

    def count_operations(self, training: JointTraining) -> float:
        """Floating-point operations of a step, a mean over the cycle; of networks that are not compiled yet."""
        with _Operations() as operations:
            self.run(training)
        return operations.total / self.steps


class _Operations(TorchDispatchMode):
    """Counts floating-point operations by PyTorch's own formulas.

    ``FlopCounterMode`` does so too, by module, with hooks that do not bear the gradient at an image of the R1 penalty.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        formula = flop_registry.get(function._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def _training(config: ProfileConfig, arm: Arm, accelerator: Accelerator) -> JointTraining:
    """A training whose every step is one of the joint phase, not compiled yet."""
    base = JointConfig(**{name: getattr(config, name) for name in JointConfig.__dataclass_fields__})
    run = replace(
        base,
        arm=arm,
        synthetic=replace(base.synthetic, start=0.0),
        generator=replace(base.generator, pretrained=None, pretrain_steps=0),
        train=replace(base.train, compile=False),
    )
    return build_training(run, _random_pixels(config), accelerator)


def _warm_up(training: JointTraining, cycle: _Cycle, config: ProfileConfig) -> None:
    if config.train.compile:
        compile_networks(training.encoder, training.generator, training.accelerator.device)
    cycle.run(training)


def _random_pixels(config: JointConfig) -> RealData:
    pixel_format = PixelFormat(config.data.channels or 3, config.data.image_size or 32)
    return random_images(4 * max(config.train.batch_size, config.generator.batch_size), pixel_format, config.seed)


def random_images(count: int, pixel_format: PixelFormat, seed: int) -> RealData:
    """``count`` images of random pixels, in memory, as all splits of a source without labels."""
    shape = (count, pixel_format.image_size, pixel_format.image_size, 3)
    pixels = torch.randint(256, shape, generator=generator_at(seed, "pixels"), dtype=torch.uint8)
    split = SourceSplit(ArrayRows(pixels.numpy(), "random pixels"), None)
    images = Images(split, torch.arange(count), pixel_format, resident_bytes=2**40)
    return RealData(images, images, images, images, None, pixel_format.channels, "random pixels")


def _known_peak(device: torch.device, mixed_precision: str) -> float | None:
    if device.type != "cuda" or mixed_precision != "bf16":
        return None
    name = device_name(device)
    return next((peak for part, peak in _PEAK_TFLOPS.items() if part in name), None)


def _describe(config: ProfileConfig, device: torch.device) -> str:
    precision = "bf16" if config.train.mixed_precision == "bf16" else "float32"
    compiled = "compiled" if config.train.compile else "not compiled"
    return (
        f"{device_name(device)}, torch {torch.__version__}, {precision}, {compiled}; {config.encoder.backbone},"
        f" {config.data.image_size or 32} px, {config.train.batch_size} anchors, arm {config.arm}"
    )


def format_profile(profile: Profile) -> str:
    """The profile as lines to print."""
    total = sum(profile.phases.values())
    lines = [profile.machine, f"{'phase':<20} {'ms a step':>10} {'share':>8}"]
    for name, milliseconds in profile.phases.items():
        lines.append(f"{name:<20} {milliseconds:>10.2f} {100 * milliseconds / total:>6.1f} %")
    lines += [
        f"{'all phases':<20} {total:>10.2f} {100:>6.1f} %",
        f"joint step           {profile.step:.2f} ms, {1e3 * profile.batch / profile.step:,.0f} images/s",
        f"joint / inflate step {profile.cost:.2f} (to hold: at most 1.6)",
        f"peak memory          {profile.peak_mebibytes:,.0f} MiB",
        f"operations of a step {profile.flops / 1e9:,.1f} GFLOP, {profile.flops / profile.step / 1e9:,.3f} TFLOP/s",
    ]
    if profile.peak_tflops is None:
        lines.append("floor and MFU        unknown peak: give --peak_tflops")
    else:
        floor = profile.flops / profile.peak_tflops / 1e9
        share = f"{100 * floor / profile.step:.1f} % MFU"
        lines.append(f"floor and MFU        {floor:.2f} ms at {profile.peak_tflops:,.0f} TFLOP/s, {share}")
    return "\n".join(lines)

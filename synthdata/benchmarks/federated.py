"""Federated methods beside each other, and what the parts of one are worth: the same partitions for all, over seeds."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch

from synthdata.benchmarks.machine import describe_machine
from synthdata.comparison import Summary
from synthdata.federated import FederatedConfig, federate
from synthdata.federated.config import Method
from synthdata.paths import PathText
from synthdata.ranges import PositiveInt
from synthdata.settings import settings_of

Arm = Literal[
    "fedavg",
    "fedprox",
    "fedlwf",
    "mfcl",
    "oracle",
    "noise",
    "untrained",
    "no_distillation",
    "joint_cross_entropy",
    "no_statistics",
    "no_diversity",
    "contrastive",
]
_COLUMNS = {
    "average_accuracy": "average %",
    "last_accuracy": "last %",
    "forgetting": "forgetting",
    "cpu_seconds": "CPU seconds",
}


@dataclass
class FederatedBenchmarkConfig(FederatedConfig):
    """Methods and ablations of a federation, over seeds; ``method`` and ``seed`` are what it varies.

    Attributes:
        arms: methods; mfcl with noise in the place of the generator's images, with the generator of a classifier that
            never learned, without distillation, with one cross entropy over old and new classes, without the terms of
            the statistics and of the diversity; and mfcl with contrastive pre-training.
        seeds: of all arms, counted from 0.
        output_dir: folder of the runs; what is there already is kept, and what is cut off goes on.
    """

    arms: list[Arm] = field(default_factory=lambda: ["fedavg", "fedprox", "fedlwf", "mfcl", "oracle"])
    seeds: PositiveInt = 5
    output_dir: PathText = "runs/federated-benchmark"


def federated_table(config: FederatedBenchmarkConfig) -> str:
    """The scores of all arms as lines to print: means over seeds, spread, and each seed's last accuracy.

    Raises:
        as ``federate``.
    """
    reports: dict[str, list[dict[str, Any]]] = {arm: [] for arm in config.arms}
    for seed in range(config.seeds):
        for arm in config.arms:
            reports[arm].append(federate(run_of(config, arm, seed)))
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    heading = f"{describe_machine(device)}; {config.data.source}, {reports[config.arms[0]][0]['split']} split"
    columns = "".join(f"{name:>18}" for name in _COLUMNS.values())
    return "\n".join([heading, f"{'':<21}{columns}  last % of each seed", *_lines(reports)])


def _lines(reports: dict[str, list[dict[str, Any]]]) -> list[str]:
    return [
        f"{arm:<21}{''.join(f'{_over_seeds(runs, key):>18}' for key in _COLUMNS)}  "
        + ", ".join(f"{each['last_accuracy']:.1f}" for each in runs)
        for arm, runs in reports.items()
    ]


def _over_seeds(runs: list[dict[str, Any]], key: str) -> str:
    """Mean and spread; nothing where a run was made before its report told it."""
    values = [each[key] for each in runs if key in each]
    return str(Summary.of(values)) if len(values) == len(runs) else ""


def run_of(config: FederatedBenchmarkConfig, arm: Arm, seed: int) -> FederatedConfig:
    """The run of an arm, in a folder of its own."""
    shared = settings_of(config, FederatedConfig)
    folder = str(Path(config.output_dir) / arm / f"seed-{seed}")
    plain = FederatedConfig(**shared | {"seed": seed, "output_dir": folder, "resume": True})
    return _CHANGES[arm](plain) if arm in _CHANGES else replace(plain, method=cast(Method, arm))


def _mfcl(**rehearsal: Any) -> Callable[[FederatedConfig], FederatedConfig]:
    return lambda config: replace(config, method="mfcl", rehearsal=replace(config.rehearsal, **rehearsal))


def _generator(**weights: Any) -> Callable[[FederatedConfig], FederatedConfig]:
    return lambda config: replace(config, method="mfcl", generator=replace(config.generator, **weights))


_CHANGES: dict[Arm, Callable[[FederatedConfig], FederatedConfig]] = {
    "noise": _mfcl(images="noise"),
    "untrained": _mfcl(images="untrained"),
    "no_distillation": _mfcl(distillation_weight=0.0),
    "joint_cross_entropy": _mfcl(split=False),
    "no_statistics": _generator(statistics_weight=0.0),
    "no_diversity": _generator(diversity_weight=0.0),
    "contrastive": lambda config: replace(config, method="mfcl", contrastive=True),
}

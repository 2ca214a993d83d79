"""Measure a part of this package on this machine, next to what it is compared with, in one run.

    accelerate launch recipes/benchmark.py headline --data.source torchvision:CIFAR10 --budget_minutes 9
    accelerate launch recipes/benchmark.py profile --config recipes/configs/cifar10.yaml
    accelerate launch recipes/benchmark.py throughput --peer lightly
    accelerate launch recipes/benchmark.py slimming --config recipes/configs/slimming/digits.yaml
    python recipes/benchmark.py views --batch 256 --image_size 32
    python recipes/benchmark.py emission --run runs/digits --kind hard --rows 2000
    python recipes/benchmark.py plan --rows 1e7
    python recipes/benchmark.py reading --shards out/digits
    python recipes/benchmark.py tuning --run runs/digits --before runs/digits-inflate/generator --grid before-after.png
    python recipes/benchmark.py label-reach --encoder.width 8 --steps 0 50 200 --withheld 0 3 8
    python recipes/benchmark.py explore-exploit --data.source digits --noise 0 0.2 0.4
    accelerate launch recipes/benchmark.py headroom --data.source digits --limits 150 1197
    python recipes/benchmark.py takedown --config recipes/configs/takedown/digits.yaml
    python recipes/benchmark.py federated --arms "['fedavg','mfcl','oracle']"
    python recipes/benchmark.py data_free --data.source digits --classifier runs/classifier

headline saves and stops in time, slimming, takedown, headroom and federated on Ctrl-C, and the same command goes on;
label-reach, explore-exploit and data_free keep what is finished. headline and profile take the settings of
recipes/joint.py as well, from recipes/configs/cifar10.yaml if no other --config is given; --preset smoke makes them
small enough for two CPU cores. A machine that does nothing else gives steady numbers; OMP_NUM_THREADS sets the number
of CPU threads.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from synthdata.errors import interruptible_imports, one_line_errors

with interruptible_imports():
    from synthdata.benchmarks.data_free import DataFreeBenchmarkConfig, data_free_table
    from synthdata.benchmarks.emission_rates import EmissionRatesConfig, emission_table
    from synthdata.benchmarks.explore_exploit import ExploreExploitConfig, explore_exploit_table
    from synthdata.benchmarks.federated import FederatedBenchmarkConfig, federated_table
    from synthdata.benchmarks.headline import HeadlineConfig, run_headline
    from synthdata.benchmarks.headroom import HeadroomConfig, run_headroom
    from synthdata.benchmarks.label_reach import LabelReachConfig, label_reach_table
    from synthdata.benchmarks.planning import PlanningConfig, planning_table
    from synthdata.benchmarks.profiling import ProfileConfig, profile_table
    from synthdata.benchmarks.reading_rates import ReadingRatesConfig, reading_table
    from synthdata.benchmarks.slimming import SlimmingBenchmarkConfig, run_slimming
    from synthdata.benchmarks.takedown import TakedownBenchmarkConfig, takedown_table
    from synthdata.benchmarks.throughput import ThroughputConfig, throughput_table
    from synthdata.benchmarks.tuning import TuningConfig, tuning_table
    from synthdata.benchmarks.view_rates import ViewRatesConfig, view_table
    from synthdata.configuration import read_over, told
    from synthdata.program import Verb, run_verb
    from synthdata.publishing.pages import write_page

CONFIGS = Path(__file__).parent / "configs"


def main(arguments: Sequence[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    if exit_code := run_verb("benchmark.py", VERBS, __doc__ or "", arguments):
        sys.exit(exit_code)


def headline(config: HeadlineConfig) -> int:
    outcome = run_headline(config)
    if outcome.text:
        print(outcome.text)
        if config.page:
            print(write_page(config.folder))
    return outcome.exit_code


def headroom(config: HeadroomConfig) -> None:
    print(run_headroom(config))
    if config.page:
        print(write_page(Path(config.output)))


def joint_settings(arguments: Sequence[str]) -> list[str]:
    """Settings from configuration files, then the preset's file, then flags."""
    files = [] if told(arguments, "config") else [f"--config={CONFIGS / 'cifar10.yaml'}"]
    settled = [*files, *arguments]
    return read_over(settled, CONFIGS / "smoke.yaml") if told(arguments, "preset") == "smoke" else settled


def contrast_settings(arguments: Sequence[str]) -> list[str]:
    """The views that suit digits, unless other images or settings are given."""
    others = told(arguments, "config") or told(arguments, "data.source") not in (None, "digits")
    return [*([] if others else [f"--config={CONFIGS / 'contrast' / 'digits.yaml'}"]), *arguments]


def federated_settings(arguments: Sequence[str]) -> list[str]:
    """The settings that suit digits, unless other images or settings are given."""
    others = told(arguments, "config") or told(arguments, "data.source") not in (None, "digits")
    return [*([] if others else [f"--config={CONFIGS / 'federated' / 'digits.yaml'}"]), *arguments]


def printed(measure: Callable[[Any], str]) -> Callable[[Any], None]:
    return lambda config: print(measure(config))


VERBS: list[Verb] = [
    Verb("headline", "all arms at equal encoder steps, in slices of time", HeadlineConfig, headline, joint_settings),
    Verb("profile", "where the time of a joint step goes", ProfileConfig, printed(profile_table), joint_settings),
    Verb("throughput", "contrastive training against lightly's", ThroughputConfig, printed(throughput_table)),
    Verb("slimming", "small encoders, trained or cut in eight ways", SlimmingBenchmarkConfig, printed(run_slimming)),
    Verb("views", "random views against kornia's and torchvision's", ViewRatesConfig, printed(view_table)),
    Verb("emission", "emission against the bare generator", EmissionRatesConfig, printed(emission_table)),
    Verb("plan", "what a dataset costs beside its rows", PlanningConfig, printed(planning_table)),
    Verb("reading", "images read from shards against plain webdataset", ReadingRatesConfig, printed(reading_table)),
    Verb("tuning", "a generator before and after tuning, on the same latents", TuningConfig, printed(tuning_table)),
    Verb(
        "label-reach",
        "label reach beside the usual scores, over encoders",
        LabelReachConfig,
        printed(label_reach_table),
        contrast_settings,
    ),
    Verb(
        "explore-exploit",
        "fine-tuning in two phases, with labels partly wrong",
        ExploreExploitConfig,
        printed(explore_exploit_table),
    ),
    Verb(
        "headroom",
        "what perfect positives, or more real images, would give",
        HeadroomConfig,
        headroom,
        contrast_settings,
    ),
    Verb("takedown", "images taken out in several ways", TakedownBenchmarkConfig, printed(takedown_table)),
    Verb("data_free", "students of a classifier's replay", DataFreeBenchmarkConfig, printed(data_free_table)),
    Verb(
        "federated",
        "federated methods, and what the parts of mfcl are worth",
        FederatedBenchmarkConfig,
        printed(federated_table),
        federated_settings,
    ),
]


if __name__ == "__main__":
    with one_line_errors():
        main()

"""Teach one classifier over clients that keep their images, class after class, without forgetting the first.

    python recipes/federate.py --data.source digits --tasks 5 --clients 10 --method mfcl --output_dir runs/fed

Methods: fedavg; fedprox; fedlwf, which distils on the clients' own images; mfcl, which distils on images of a generator
that the server learns from the classifier alone; oracle, whose clients keep the images of all tasks.

What it does:

- divides the classes among tasks and the images of each among clients, alike for every method of a seed;
- before each task gives the classifier rows for the new classes, and with mfcl trains the generator;
- with --contrastive true lets mfcl's clients first learn by contrast, on their own images and the generator's;
- goes on without a client that fails a round, and tells it (--train.dropout 0.2 lets clients go away);
- saves and stops on Ctrl-C and SIGTERM; the same command with --resume true goes on, with the same result.

Leaves a run directory: classifier/ (for recipes/distil.py), curves/, metrics.jsonl, report.json, config.yaml and
checkpoints/. The report tells the accuracy over all classes seen after each task, their mean, the last, and the points
forgotten. It ends with one line and exit code 2 for settings and images that do not fit, and 1 where no client finishes
a round, or for a full disk.
"""

import sys
from pathlib import Path

from synthdata.errors import interruptible_imports, one_line_errors

with interruptible_imports():
    from synthdata.configuration import parse, told
    from synthdata.federated import FederatedConfig, federate, summarise
    from synthdata.training import GO_ON

DIGITS = Path(__file__).parent / "configs" / "federated" / "digits.yaml"


def main() -> None:
    # Few images a client need other rates than many, and digits smaller networks than photographs.
    digits = told(sys.argv[1:], "data.source") in (None, "digits") and told(sys.argv[1:], "config") is None
    config = parse(FederatedConfig, __doc__ or "", default_file=DIGITS if digits else None)
    report = federate(config)
    if report:
        print(summarise(report, Path(config.output_dir)))


if __name__ == "__main__":
    with one_line_errors(GO_ON):
        main()

"""Which dataset teaches best: the same contrastive training on real images alone and beside each dataset.

    accelerate launch recipes/compare.py --shards out/hard out/pairs OWNER/NAME --data.source digits --seeds 3
    accelerate launch recipes/compare.py --shards out/digits --data.source digits --limits 150 300 600 \\
        --mix adainf --synthetic_only true --output out/compare

- all trainings take equally many steps over equally many images, with the settings of recipes/contrast.py;
- scores are linear, k-NN, and 1 % and 10 % of the labels, mean ± standard deviation over seeds; gains are differences
  to real images alone in the same seed;
- --mix adainf trains each dataset once more in AdaInf's mix, and real images alone with its weaker views;
- label reach is in report.json; --tell_cards true also writes a sentence of it into the cards of the datasets;
- with several --limits, accuracy against the number of real images, and how many the synthetic ones are worth;
- Ctrl-C and SIGTERM save and stop; the same command goes on, and finished runs are kept, also when datasets, seeds or
  limits are added.

Leaves index.html to look at (--page false for none), report.md, report.json, comparison.png, efficiency-*.png and runs/
in --output. It ends with one line and exit code 2 for settings, images and datasets that do not fit.
"""

import json
import sys
from pathlib import Path

from synthdata.errors import interruptible_imports, one_line_errors

with interruptible_imports():
    from synthdata.comparison import as_json, as_markdown
    from synthdata.comparison.plots import save_plots
    from synthdata.configuration import parse, told
    from synthdata.publishing.card import write_dataset_card
    from synthdata.publishing.label_reach import keep_label_reach
    from synthdata.publishing.pages import write_page
    from synthdata.training.compare import CompareConfig, compare, heading, local_datasets
    from synthdata.training.run_directory import write_aside, writing

DIGITS = Path(__file__).parent / "configs" / "contrast" / "digits.yaml"


def main() -> None:
    # Crops and flips that suit photographs would turn one digit into another.
    digits = told(sys.argv[1:], "data.source") == "digits" and told(sys.argv[1:], "config") is None
    config = parse(CompareConfig, __doc__ or "", default_file=DIGITS if digits else None)
    compared = compare(config)
    if compared is None:
        return
    comparison, circumstances = compared
    folder = Path(config.output)
    report = f"{heading(circumstances)}\n\n{as_markdown(comparison)}"
    with writing(folder):
        plots = save_plots(comparison, folder)
    write_aside(folder / "report.json", json.dumps(circumstances | as_json(comparison), indent=2) + "\n")
    write_aside(folder / "report.md", report)
    for way, dataset in local_datasets(config).items() if config.tell_cards else ():
        if keep_label_reach(dataset, way, circumstances):
            with writing(dataset):
                write_dataset_card(dataset)
    pages = [write_page(folder)] if config.page else []
    print(report)
    for path in (folder / "report.md", folder / "report.json", *plots, *pages):
        print(path)


if __name__ == "__main__":
    with one_line_errors():
        main()

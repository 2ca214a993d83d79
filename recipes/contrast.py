"""Train an encoder on an emitted dataset, alone or beside real images, by any of ten contrastive methods.

    accelerate launch recipes/contrast.py --shards out/digits --data.source digits --method simclr --output_dir runs/x
    accelerate launch recipes/contrast.py --shards OWNER/NAME --method byol --output_dir runs/y      # synthetic only
    accelerate launch recipes/contrast.py --shards out/digits --data.source digits --mix adainf --output_dir runs/z
    accelerate launch recipes/contrast.py --data.source digits --relations out/neg --method hasa --output_dir runs/n

Methods: simclr, mocov2, mocov3, nnclr, byol, simsiam, barlowtwins, vicreg, debiased, hard_negative, hasa, sacl_xd. The
losses of byol, simsiam, barlowtwins and vicreg are lightly's: pip install 'synthdata[contrast]'. sacl_xd trains a slim
encoder within a wider one: encoder/ is then the slim one, and host/ the other.

What it does:

- reads hard samples and positive pairs from a directory or the Hub, into memory or, larger ones, as they are needed;
- reads constructed negatives of real images (--relations), beside those of the batch;
- mixes them with real images at --synthetic_share of the anchors, or as AdaInf does (--mix adainf);
- saves and stops on Ctrl-C and SIGTERM; the same command with --resume true goes on;
- trains on every process of the launcher, with the result of one process.

Leaves a run directory: index.html to look at (--page false for none), encoder/, curves/ (PNG), metrics.jsonl,
report.json, progress.json, config.yaml and checkpoints/. It ends with one line and exit code 2 for settings and images
that do not fit, and 1 for a damaged shard (--on_corrupt skip leaves its rows out), a loss that is not finite, or a full
disk.
"""

import sys
from pathlib import Path

from synthdata.errors import interruptible_imports, one_line_errors

with interruptible_imports():
    from synthdata.configuration import parse, told
    from synthdata.publishing.model_card import write_model_card
    from synthdata.publishing.pages import write_page
    from synthdata.training import GO_ON, ContrastConfig, summarise, train_contrast
    from synthdata.training.run_directory import as_plain

DIGITS = Path(__file__).parent / "configs" / "contrast" / "digits.yaml"


def main() -> None:
    # Crops and flips that suit photographs would turn one digit into another.
    digits = told(sys.argv[1:], "data.source") == "digits" and told(sys.argv[1:], "config") is None
    config = parse(ContrastConfig, __doc__ or "", default_file=DIGITS if digits else None)
    report = train_contrast(config, refresh=show if config.page else None)
    if report:
        write_model_card(Path(config.output_dir))
        if config.page:
            show(Path(config.output_dir))
        print(summarise(report, Path(config.output_dir)))


def show(run: Path) -> None:
    """Write the page of a run, which may go on."""
    write_page(run, as_plain(ContrastConfig()))


if __name__ == "__main__":
    with one_line_errors(GO_ON):
        main()

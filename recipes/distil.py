"""Train an image generator from a classifier alone: no image, no label.

    accelerate launch recipes/evaluate.py --encoder runs/digits/encoder --data.source digits \\
        --save_classifier runs/classifier
    accelerate launch recipes/distil.py --classifier runs/classifier --output_dir runs/free
    accelerate launch recipes/emit.py --run runs/free --output out/free --replay 5000

The classifier is a folder of ours, one of a transformers image classifier, or torchvision:NAME:FILE; safetensors only.
It needs batch normalisation, whose statistics stand in for the images. What the generator makes teaches a network; it
does not look like the data.

What it does:

- trains for confident answers, even use of the classes, the statistics that the classifier keeps, and smooth images;
- draws a grid of images at every quarter, each with the class that it is taken for;
- saves and stops on Ctrl-C and SIGTERM; the same command with --resume true goes on.

Leaves a run directory: index.html to look at (--page false for none), generator/ (a diffusers pipeline, with the
classifier beside it), samples/, curves/, metrics.jsonl, report.json, config.yaml and checkpoints/. It ends with one
line and exit code 2 for a classifier that cannot be used, and 1 for a loss that is not finite or a full disk.
"""

from pathlib import Path

from synthdata.errors import interruptible_imports, one_line_errors

with interruptible_imports():
    from synthdata.configuration import parse
    from synthdata.publishing.distil_card import write_distil_card
    from synthdata.publishing.pages import write_page
    from synthdata.training import GO_ON, DistilConfig, distil, summarise
    from synthdata.training.run_directory import as_plain


def main() -> None:
    config = parse(DistilConfig, __doc__ or "")
    report = distil(config, refresh=show if config.page else None)
    if report:
        write_distil_card(Path(config.output_dir))
        if config.page:
            show(Path(config.output_dir))
        print(summarise(report, Path(config.output_dir)))


def show(run: Path) -> None:
    """Write the page of a run, which may go on."""
    write_page(run, as_plain(DistilConfig()))


if __name__ == "__main__":
    with one_line_errors(GO_ON):
        main()

"""Take listed training images out of a finished run.

    accelerate launch recipes/takedown.py --run runs/mine --forget forget.txt --output_dir runs/mine-2
    accelerate launch recipes/takedown.py --run runs/mine --forget near:photo.png --output_dir runs/mine-2
    accelerate launch recipes/takedown.py --run runs/mine --forget forget.txt --method retrain --output_dir runs/mine-2

forget.txt has one image a line: the number of a row of the source, the path of a file, the sha256 of a file, or
class:NAME. The new run directory has encoder and generator without the images, and what the memorisation guard needs to
refuse near copies of them: embeddings and hashes, no image. The run before stays as it is.

--method retrain trains anew without the images, and is the only way that is exact. The others take a small share of its
time, and are approximate; recipes/audit.py measures how well they did. Then, for a dataset that the run before emitted:

    synthdata takedown out/mine --run runs/mine-2 --output out/mine-2

Ctrl-C and SIGTERM save and stop, --resume true goes on, torchrun runs it on several processes. It ends with one line
and exit code 2 for a list, a run or settings that cannot be used, and 1 for a loss that is not finite or a full disk.
"""

from pathlib import Path

from synthdata.errors import interruptible_imports, one_line_errors

with interruptible_imports():
    from synthdata.configuration import parse
    from synthdata.publishing.model_card import write_model_card
    from synthdata.publishing.pages import write_page
    from synthdata.takedown.config import TakedownConfig, TakedownRunConfig
    from synthdata.takedown.takedown import take_down
    from synthdata.training import GO_ON, summarise
    from synthdata.training.run_directory import as_plain


def main() -> None:
    config = parse(TakedownConfig, __doc__ or "")
    run = Path(config.output_dir)
    report = take_down(config, refresh=show if config.page else None)
    if not report:
        return
    write_model_card(run)
    if config.page:
        show(run)
    told, before = report["takedown"], report["takedown"]["wall_seconds_before"]
    print(f"{told['forgotten']:,} images taken down, {told['never_trained_on']:,} of them never trained on")
    print(f"{report['wall_seconds']} s, where the training of the run before took {before} s")
    print(summarise(report, run))


def show(run: Path) -> None:
    """Write the page of the run, which may go on."""
    write_page(run, as_plain(TakedownRunConfig()))


if __name__ == "__main__":
    with one_line_errors(GO_ON):
        main()

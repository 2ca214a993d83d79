"""Train a contrastive encoder and an image generator jointly, on real images.

    accelerate launch recipes/joint.py                                  # the built-in digits, about 3 minutes on a CPU
    accelerate launch recipes/joint.py --generator.kind diffusion       # a diffusion model in the place of the GAN
    accelerate launch recipes/joint.py --generator.kind diffusion --arm anchored --output_dir runs/anchored
    accelerate launch recipes/joint.py --data.source imagefolder:PATH --output_dir runs/mine
    accelerate launch recipes/joint.py --config recipes/configs/digits.yaml --arm real --output_dir runs/digits-real
    torchrun --nproc-per-node 2 recipes/joint.py --output_dir runs/two  # several processes

Leaves a run directory: index.html to look at, also while the run goes on (--page false for none), encoder/, generator/
(a diffusers pipeline), samples/ and curves/ (PNG), metrics.jsonl, report.json, progress.json, config.yaml and
checkpoints/; and a dataset, of the run runs/NAME in out/NAME beside runs/, of any other in its own folder dataset/
(--emission.output DIR puts it elsewhere). Ctrl-C, SIGTERM or SIGUSR1 saves and stops; the same command with --resume
true goes on, and recipes/slurm/joint.sbatch does so by itself. A run that was killed resumes from its last checkpoint
and, on a CPU, ends with the same bits as one never interrupted. All arms take equally many encoder steps over equally
many images.

One process under accelerate launch computes on the CPU cores that nobody uses when it starts, and goes on with as many
when it is resumed; OMP_NUM_THREADS, or accelerate's --num_cpu_threads_per_process, says another number.

It ends with one line and exit code 2 for settings and images that do not fit, and 1 for a loss that is not finite or a
full disk. accelerate launch prints a traceback of its own when a program ends with an error; accelerate launch -q does
not. With pip install 'synthdata[inception]' and Inception's weights on the disk (--evaluation.inception FILE), the
report also holds inception_frechet_distance; nothing is downloaded.
"""

import sys
from pathlib import Path

from synthdata.errors import MisuseError, interruptible_imports, one_line_errors

with interruptible_imports():
    from synthdata.configuration import parse, told
    from synthdata.emission.config import EmissionConfig
    from synthdata.emission.dataset import summary
    from synthdata.emission.emit import emit
    from synthdata.publishing.complete import complete_dataset
    from synthdata.publishing.model_card import write_model_card
    from synthdata.publishing.pages import write_page
    from synthdata.training import GO_ON, JointConfig, summarise, train_joint
    from synthdata.training.run_directory import as_plain, dataset_folder

CONFIGS = Path(__file__).parent / "configs"


def main() -> None:
    config = parse(JointConfig, __doc__ or "", default_file=default_file(sys.argv[1:]))
    emission = final_emission(config)
    if emission and not config.resume and Path(emission.output).exists():
        raise MisuseError(f"{emission.output} exists already: remove it, or name another --emission.output")
    report = train_joint(config, refresh=show if config.page else None)
    if report:
        write_model_card(Path(config.output_dir))
        if config.page:
            show(Path(config.output_dir))
        print(summarise(report, Path(config.output_dir)))
    if emission:
        emitted = emit(emission)
        complete_dataset(emission.output, emission.page)
        if emitted.tells:
            print(summary(emitted))


def default_file(arguments: list[str]) -> Path | None:
    """Without a word about the data, the built-in digits are meant, with the settings that suit them."""
    if any(told(arguments, flag) for flag in ("config", "data.source", "data")):
        return None
    diffusion = told(arguments, "generator.kind") == "diffusion"
    return CONFIGS / ("digits-diffusion.yaml" if diffusion else "digits.yaml")


def show(run: Path) -> None:
    """Write the page of a run, which may go on."""
    write_page(run, as_plain(JointConfig()))


def final_emission(config: JointConfig) -> EmissionConfig | None:
    """The dataset that the configuration asks for, of the kinds that the arm trains for; None for no rows."""
    hard = config.emission.hard if config.arm in ("hard", "both") else 0
    pairs = config.emission.pairs if config.arm in ("pairs", "both") else 0
    if hard + pairs == 0:
        return None
    output = config.emission.output or str(dataset_folder(Path(config.output_dir)))
    return EmissionConfig(
        run=config.output_dir,
        output=output,
        hard=hard,
        pairs=pairs,
        shard_size=config.emission.shard_size,
        seed=config.seed,
        page=config.page,
    )


if __name__ == "__main__":
    with one_line_errors(GO_ON):
        main()

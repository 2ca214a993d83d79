"""Write a finished run's hard samples and positive pairs as a dataset that anyone loads.

    accelerate launch recipes/emit.py --run runs/digits --output out/digits --hard 2000 --pairs 2000 --shard_size 500

    accelerate launch recipes/emit.py --run runs/anchored --output out/anchored --pairs 1000 --pair_source anchored
    accelerate launch recipes/emit.py --run runs/free --output out/free --replay 5000     # of recipes/distil.py
    python recipes/emit.py --run runs/digits --output out/digits --hard 2000 --engine ray --engine_address auto

What it does:

- samples on every process of the launcher, or as one process of a job array: that of Slurm, PBS, LSF, AWS Batch,
  Kubernetes and others that it finds itself in (recipes/slurm/emit.sbatch), or ``--worker 3 --workers 16``;
- or on Ray (``--engine ray``, pip install 'synthdata[ray]'): a task for each shard, in processes that open the models
  once, on nodes that may come and go; all of them see the folders that the command names;
- or as tasks of datatrove, on one machine or on Slurm: recipes/datatrove/emit.py;
- keeps hard samples and pairs within bands of hardness and similarity, real enough, and no copies of training images;
- writes WebDataset tar files or Parquet (``--format parquet``), a manifest with every file's sha256, a card, Croissant
  metadata, and index.html, a page to look through the rows (``--page false`` for none);
- goes on where it was interrupted when the same command is run again.

It ends with one line and exit code 2 for a wrong setting or an unusable run or output, and 1 for a full disk or
criteria that no sample meets, or a cluster that was lost; finished shards are kept.
"""

from synthdata.errors import interruptible_imports, one_line_errors

with interruptible_imports():
    from synthdata.configuration import parse
    from synthdata.emission.config import EmissionConfig, join_job_array
    from synthdata.emission.dataset import summary
    from synthdata.emission.emit import emit
    from synthdata.publishing.complete import complete_dataset


def main() -> None:
    config = parse(EmissionConfig, __doc__ or "")
    join_job_array(config)
    emission = emit(config)
    complete_dataset(config.output, config.page)
    if emission.tells:
        print(summary(emission))


if __name__ == "__main__":
    with one_line_errors():
        main()

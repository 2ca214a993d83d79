"""Write a finished run's samples as tasks of datatrove, on this machine or on Slurm.

    python recipes/datatrove/emit.py --run runs/digits --output out/digits --hard 2000 --tasks 4
    python recipes/datatrove/emit.py --run runs/digits --output out/digits --hard 2000 --tasks 16 --slurm PARTITION
    synthdata finish out/digits

Takes the settings of recipes/emit.py and gives the same bytes, whatever the number of tasks. ``EmitShards`` is a step
for any pipeline of datatrove's, on any of its executors. The last task to end completes the dataset; ``synthdata
finish`` does so where it could not, or names what is missing.

The same command goes on: datatrove skips the tasks that it has marked as ended, in OUTPUT-datatrove, and a task that
was cut off keeps the shards that it had finished. To make a dataset anew, or lost shards of it, remove that folder too.

Needs datatrove: pip install 'synthdata[datatrove]'.
"""

import os
from dataclasses import dataclass, replace

from synthdata.errors import MisuseError, interruptible_imports, one_line_errors

with one_line_errors(), interruptible_imports():
    try:
        import multiprocess
        from datatrove.data import DocumentsPipeline
        from datatrove.executor import LocalPipelineExecutor, SlurmPipelineExecutor
        from datatrove.pipeline.base import PipelineStep
    except ImportError as error:
        raise MisuseError("datatrove is not installed: pip install 'synthdata[datatrove]'") from error
    from synthdata.configuration import parse
    from synthdata.emission import finish_dataset
    from synthdata.emission.config import EmissionConfig, check_config
    from synthdata.ranges import NonNegativeInt, PositiveInt
    from synthdata.settings import settings_of


@dataclass
class TasksConfig(EmissionConfig):
    """An emission as tasks of datatrove.

    Attributes:
        tasks: number of tasks that share the shards.
        at_once: tasks at work at a time; as many as this machine has cores, or Slurm has room for, if not given.
        slurm: partition of Slurm to queue the tasks in; they run on this machine if not given.
        time: that Slurm gives a task; it is queued again when that is up.
        cpus: that Slurm gives a task.
        gpus: that Slurm gives a task.
    """

    tasks: PositiveInt = 4
    at_once: PositiveInt | None = None
    slurm: str | None = None
    time: str = "04:00:00"
    cpus: PositiveInt = 8
    gpus: NonNegativeInt = 0


class EmitShards(PipelineStep):
    """Makes a task's share of the shards; documents that come in are passed on.

    ``run`` imports what it names, since datatrove sends a class of the main program to Slurm without that program.
    """

    type, name = "synthdata", "emit"

    def __init__(self, config: EmissionConfig) -> None:
        super().__init__()
        self.config = config

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        from dataclasses import replace

        from synthdata.emission.emit import emit
        from synthdata.processes import set_local_rank
        from synthdata.publishing.complete import complete_dataset

        set_local_rank(rank)  # the tasks of one machine take turns at its GPUs
        with self.track_time("task"):
            emission = emit(replace(self.config, worker=rank, workers=world_size))
            complete_dataset(self.config.output, self.config.page)
        self.stat_update("rows made", value=emission.rows, unit="task")
        self.stat_update("rows kept", value=emission.kept, unit="task")
        return data


def main() -> None:
    config = parse(TasksConfig, __doc__ or "")
    if config.worker is not None or config.workers is not None:
        raise MisuseError("datatrove numbers its tasks itself: give --tasks, and leave out --worker and --workers")
    emission = EmissionConfig(**settings_of(config, EmissionConfig))
    check_config(replace(emission, worker=0, workers=config.tasks))
    pipeline = [EmitShards(emission)]
    marks = f"{config.output.rstrip('/')}-datatrove/{config.tasks}-tasks"
    if config.slurm:
        SlurmPipelineExecutor(
            pipeline,
            config.tasks,
            config.time,
            config.slurm,
            cpus_per_task=config.cpus,
            gpus_per_task=config.gpus,
            workers=config.at_once or -1,
            job_name="synthdata-emit",
            logging_dir=marks,
            sbatch_args={"signal": "USR1@120"},  # datatrove then queues the task again
        ).run()
        return
    cores = os.cpu_count() or 1
    at_once = min(config.tasks, config.at_once or cores)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // at_once)))
    multiprocess.set_forkserver_preload(["synthdata.emission.emit", "synthdata.publishing.complete"])  # once for all
    LocalPipelineExecutor(pipeline, config.tasks, at_once, marks).run()
    finish_dataset(config.output)
    print(f"The dataset is in {config.output}")


if __name__ == "__main__":
    with one_line_errors():
        main()

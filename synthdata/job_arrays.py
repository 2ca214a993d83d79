"""Which task of a job array this process is, by the variables that schedulers set."""

import os
from dataclasses import dataclass
from typing import NamedTuple

from synthdata.errors import MisuseError, shortened
from synthdata.processes import spans_machines


@dataclass(frozen=True)
class _Scheduler:
    """The variables of one scheduler; empty for what it does not tell.

    Attributes:
        name: of the scheduler.
        index: a task's own number.
        count: how many tasks there are.
        first: the lowest number.
        last: the highest number.
        step: the distance of two numbers.
        origin: the lowest number, where no variable tells it.
        outside: what ``index`` holds in a job that is no array.
    """

    name: str
    index: str
    count: str = ""
    first: str = ""
    last: str = ""
    step: str = ""
    origin: int = 0
    outside: str = ""


_SLURM = "SLURM_ARRAY_TASK"
_SCHEDULERS = (
    _Scheduler("Slurm", f"{_SLURM}_ID", f"{_SLURM}_COUNT", f"{_SLURM}_MIN", f"{_SLURM}_MAX", f"{_SLURM}_STEP"),
    _Scheduler("LSF", "LSB_JOBINDEX", last="LSB_JOBINDEX_END", step="LSB_JOBINDEX_STEP", origin=1, outside="0"),
    _Scheduler(
        "Grid Engine",
        "SGE_TASK_ID",
        first="SGE_TASK_FIRST",
        last="SGE_TASK_LAST",
        step="SGE_TASK_STEPSIZE",
        origin=1,
        outside="undefined",
    ),
    _Scheduler("PBS", "PBS_ARRAY_INDEX"),
    _Scheduler("Torque", "PBS_ARRAYID"),
    _Scheduler("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    _Scheduler("Google Cloud Batch", "BATCH_TASK_INDEX", "BATCH_TASK_COUNT"),
    _Scheduler("Cloud Run", "CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
    _Scheduler("Kubernetes", "JOB_COMPLETION_INDEX"),
)


class ArrayTask(NamedTuple):
    """One process of a job array.

    Attributes:
        worker: its number, from 0.
        workers: how many there are.
        scheduler: whose variables say so.
        variable: the one that holds the number.
    """

    worker: int
    workers: int
    scheduler: str
    variable: str


def array_task(workers: int | None = None) -> ArrayTask | None:
    """The task that this process is; None outside a job array, and where one launcher spans machines.

    The latter's processes are numbered by the launcher over all machines, whose own numbers may look like an array's.

    Args:
        workers: how many tasks there are, if a person has said so; asked for where the scheduler does not tell.

    Raises:
        MisuseError: the variables do not fit together, or do not say enough.
    """
    if spans_machines():
        return None
    for scheduler in _SCHEDULERS:
        if os.environ.get(scheduler.index, scheduler.outside) != scheduler.outside:
            return _task(scheduler, workers)
        if scheduler.count and os.environ.get(scheduler.count):
            raise _half_set(scheduler.count, scheduler.index)
    return None


def _task(scheduler: _Scheduler, workers: int | None) -> ArrayTask:
    index, step = _number(scheduler.index), _told(scheduler.step, 1)
    first = _told(scheduler.first, scheduler.origin)
    worker, between = divmod(index - first, max(step, 1))
    if workers is None:
        workers = _count(scheduler, first, max(step, 1))
    if between or not 0 <= worker < workers:
        raise MisuseError(
            f"{scheduler.index} is {index}, which is no task of {workers} from {first} on in steps of {step}: number "
            "the job array evenly, or give --worker and --workers"
        )
    return ArrayTask(worker, workers, scheduler.name, scheduler.index)


def _count(scheduler: _Scheduler, first: int, step: int) -> int:
    if scheduler.count:
        if not os.environ.get(scheduler.count):
            raise _half_set(scheduler.index, scheduler.count)
        count = _number(scheduler.count)
        last = _told(scheduler.last, first + (count - 1) * step)
        if last - first != (count - 1) * step:
            raise MisuseError(
                f"the {count} tasks of the job array from {first} to {last} are not {step} apart: give an even range, "
                "such as 0-15, or --worker and --workers"
            )
        return count
    if scheduler.last and os.environ.get(scheduler.last):
        return (_number(scheduler.last) - first) // step + 1
    raise MisuseError(
        f"{scheduler.index} is {_number(scheduler.index)}, and {scheduler.name} does not tell how many tasks there "
        "are: give --workers N"
    )


def _told(variable: str, otherwise: int) -> int:
    return _number(variable) if variable and os.environ.get(variable) else otherwise


def _number(variable: str) -> int:
    text = os.environ[variable]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise MisuseError(f"{variable} is {shortened(text, 60)!r}, and no number: give --worker and --workers")
    return int(text)


def _half_set(there: str, missing: str) -> MisuseError:
    return MisuseError(f"{there} is set and {missing} is not: set both or none, or give --worker and --workers")

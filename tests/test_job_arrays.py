"""Which task of a job array this is, as schedulers tell it, and the scripts that are copied for Slurm."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from processes import REPOSITORY

from synthdata.emission.config import EmissionConfig, join_job_array
from synthdata.errors import MisuseError
from synthdata.job_arrays import array_task

SLURM = REPOSITORY / "recipes" / "slurm"


def set_variables(monkeypatch: pytest.MonkeyPatch, variables: str) -> None:
    """``NAME=VALUE NAME=VALUE``; those of a scheduler that runs these tests are put aside."""
    for name in list(os.environ):
        if name.startswith(("SLURM_ARRAY", "LSB_", "SGE_", "PBS_", "AWS_BATCH", "BATCH_", "CLOUD_RUN", "JOB_COMP")):
            monkeypatch.delenv(name)
    for variable in variables.split():
        monkeypatch.setenv(*variable.split("="))


@pytest.mark.parametrize(
    ("variables", "workers", "expected"),
    [
        ("SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=2", None, (1, 2)),
        (
            "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=10 "
            "SLURM_ARRAY_TASK_STEP=3",
            None,
            (2, 4),
        ),
        ("LSB_JOBINDEX=3 LSB_JOBINDEX_END=16 LSB_JOBINDEX_STEP=1", None, (2, 16)),
        ("SGE_TASK_ID=5 SGE_TASK_FIRST=1 SGE_TASK_LAST=8 SGE_TASK_STEPSIZE=2", None, (2, 4)),
        ("AWS_BATCH_JOB_ARRAY_INDEX=9 AWS_BATCH_JOB_ARRAY_SIZE=10", None, (9, 10)),
        ("BATCH_TASK_INDEX=0 BATCH_TASK_COUNT=3", None, (0, 3)),
        ("CLOUD_RUN_TASK_INDEX=2 CLOUD_RUN_TASK_COUNT=3", None, (2, 3)),
        ("JOB_COMPLETION_INDEX=3", 8, (3, 8)),
        ("PBS_ARRAY_INDEX=0", 4, (0, 4)),
        ("PBS_ARRAYID=3", 4, (3, 4)),
        ("", None, None),
        ("LSB_JOBINDEX=0", None, None),
        ("SGE_TASK_ID=undefined", None, None),
        ("JOB_COMPLETION_INDEX=1 WORLD_SIZE=4 LOCAL_WORLD_SIZE=2", None, None),
    ],
)
def test_the_task_is_the_one_that_the_scheduler_says(
    monkeypatch: pytest.MonkeyPatch, variables: str, workers: int | None, expected: tuple[int, int] | None
) -> None:
    set_variables(monkeypatch, variables)
    task = array_task(workers)
    assert (task and (task.worker, task.workers)) == expected


@pytest.mark.parametrize(
    ("variables", "workers", "named"),
    [
        ("SLURM_ARRAY_TASK_ID=1", None, "SLURM_ARRAY_TASK_ID is set and SLURM_ARRAY_TASK_COUNT is not"),
        ("SLURM_ARRAY_TASK_COUNT=2", None, "SLURM_ARRAY_TASK_COUNT is set and SLURM_ARRAY_TASK_ID is not"),
        ("SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_COUNT=2", None, "is 2, which is no task of 2 from 0 on"),
        ("SLURM_ARRAY_TASK_ID=x SLURM_ARRAY_TASK_COUNT=2", None, "SLURM_ARRAY_TASK_ID is 'x', and no number"),
        (
            "SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=7",
            None,
            "the 3 tasks of the job array from 0 to 7 are not 1 apart",
        ),
        ("LSB_JOBINDEX=2 LSB_JOBINDEX_END=9 LSB_JOBINDEX_STEP=2", None, "LSB_JOBINDEX is 2, which is no task of 5"),
        ("JOB_COMPLETION_INDEX=3", None, "Kubernetes does not tell how many tasks there are: give --workers N"),
        ("JOB_COMPLETION_INDEX=3", 3, "JOB_COMPLETION_INDEX is 3, which is no task of 3"),
    ],
)
def test_variables_that_do_not_fit_together_are_named(
    monkeypatch: pytest.MonkeyPatch, variables: str, workers: int | None, named: str
) -> None:
    set_variables(monkeypatch, variables)
    with pytest.raises(MisuseError, match=named):
        array_task(workers)


def test_a_worker_that_is_given_is_not_looked_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_variables(monkeypatch, "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=2")
    given, found = EmissionConfig(worker=0), EmissionConfig()
    join_job_array(given)
    assert (given.worker, given.workers, capsys.readouterr().err) == (0, None, "")
    join_job_array(found)
    told = capsys.readouterr().err
    assert (found.worker, found.workers) == (1, 2)
    assert told.startswith("worker 1 of 2 (from 0), as SLURM_ARRAY_TASK_ID of Slurm says")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("script", "program", "passed_on"), [("emit", "python", signal.SIGUSR1), ("joint", "srun", signal.SIGTERM)]
)
@pytest.mark.parametrize(
    ("sent", "queued"), [(signal.SIGUSR1, "requeue 17\n"), (signal.SIGTERM, "")], ids=["time is up", "cancelled"]
)
def test_a_job_whose_time_is_up_saves_and_is_queued_again(
    tmp_path: Path, script: str, program: str, passed_on: signal.Signals, sent: signal.Signals, queued: str
) -> None:
    """The programs are stand-ins that tell how they were called; the one that computes ends as the recipes do."""
    expected = passed_on if sent is signal.SIGUSR1 else sent
    stand_ins = {
        program: f"trap 'kill $!; echo saved; exit {128 + expected}' {expected.name}\necho \"$@\"\nsleep 60 & wait\n",
        "scontrol": 'if [ "$1" = show ]; then echo node-1; else echo "$@" > queued; fi\n',
    }
    for name, body in stand_ins.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}")
        (tmp_path / name).chmod(0o755)
    variables = {"SLURM_JOB_ID": "17", "SLURM_JOB_NODELIST": "node-[1-2]", "SLURM_JOB_NUM_NODES": "2"}
    job = subprocess.Popen(
        ["bash", str(SLURM / f"{script}.sbatch"), "--output", "out/a b"],
        cwd=tmp_path,
        env={**os.environ, **variables, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert job.stdout is not None
    called = job.stdout.readline()
    time.sleep(0.2)  # until the script waits
    job.send_signal(sent)
    output, _ = job.communicate(timeout=30)
    assert called.endswith("--output out/a b\n")
    assert (output, job.returncode) == ("saved\n", 128 + expected)
    assert (tmp_path / "queued").exists() == bool(queued)
    assert not queued or (tmp_path / "queued").read_text() == queued

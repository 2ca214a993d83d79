"""What two processes, started as torchrun starts them, do together."""

import json
from typing import Any

import pytest
from processes import run_on_two_processes

from synthdata.training.collective import largest_of_processes

PROGRAM = """
import json, os, sys, time
from pathlib import Path
from accelerate import Accelerator
from synthdata.errors import FailureError, MisuseError, SynthdataError
from synthdata.training.collective import largest_of_processes, local_main_process_first, on_main_process

folder, accelerator = Path(sys.argv[1]), Accelerator(cpu=True)
rank = accelerator.process_index

def act(error):
    if error is not None:
        raise error
    return "acted"

def together(error):
    try:
        return on_main_process(lambda: act(error), accelerator)
    except SynthdataError as met:
        return f"raised {met}"
    except SystemExit as end:
        return f"exited {end.code}"

def in_turn(name, error):
    try:
        with local_main_process_first(accelerator):
            time.sleep(0.3 * (1 - rank))
            before = (folder / name).exists()
            (folder / name).touch()
            act(error)
    except SynthdataError:
        pass
    return before

results = {
    "largest": largest_of_processes([3, 7][rank]),
    "result": together(None),
    "misuse": together(MisuseError("taken")),
    "failure": together(FailureError("full")),
    "in turn": in_turn("loaded", None),
    "in turn with an error": in_turn("failed", MisuseError("missing")),
}
(folder / f"{rank}.json").write_text(json.dumps(results))
accelerator.end_training()
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process had."""
    folder = tmp_path_factory.mktemp("collective")
    (folder / "program.py").write_text(PROGRAM)
    exit_code, _, error = run_on_two_processes(str(folder / "program"), [str(folder)])
    assert exit_code == 0, error
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_processes_agree_on_the_largest_value(results: list[dict[str, Any]]) -> None:
    assert [result["largest"] for result in results] == [7, 7]


def test_one_process_agrees_with_itself() -> None:
    assert largest_of_processes(5) == 5


def test_the_first_process_acts_and_has_the_result(results: list[dict[str, Any]]) -> None:
    assert [result["result"] for result in results] == ["acted", None]


def test_where_the_first_process_fails_the_others_exit_with_its_code(results: list[dict[str, Any]]) -> None:
    assert [result["misuse"] for result in results] == ["raised taken", "exited 2"]
    assert [result["failure"] for result in results] == ["raised full", "exited 1"]


@pytest.mark.parametrize("name", ["in turn", "in turn with an error"])
def test_the_first_process_goes_first_even_if_it_fails(results: list[dict[str, Any]], name: str) -> None:
    assert [result[name] for result in results] == [False, True]

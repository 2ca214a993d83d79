import os
from collections.abc import Iterator

import pytest
import torch
from processes import TwoProcesses

# Tests run in as many processes as there are cores: threads beside these would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoProcesses]:
    processes = TwoProcesses(tmp_path_factory.mktemp("two_processes"))
    yield processes
    processes.stop()

from collections.abc import Iterator

import pytest
from processes import TwoProcesses


@pytest.fixture(scope="session")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoProcesses]:
    processes = TwoProcesses(tmp_path_factory.mktemp("two_processes"))
    yield processes
    processes.stop()

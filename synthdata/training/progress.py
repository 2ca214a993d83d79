"""How far a run has come, kept in progress.json: for whoever looks at it before its end, and at what it took after."""

import time
from datetime import UTC, datetime
from typing import Any

from synthdata.run_files import read_run_file
from synthdata.training.run_directory import RunDirectory


class Progress:
    """The parts of a run, from start to interruption, and the time of its phases, with iterations that were repeated.

    Args:
        run: where it is kept.
        start: iterations done before this part.
        iterations: of the whole run.
    """

    def __init__(self, run: RunDirectory, start: int, iterations: int) -> None:
        self._run = run
        before = read_run_file(run.progress, dict[str, Any]) if run.progress.exists() else {}
        self._parts: list[dict[str, Any]] = before.get("parts", [])
        self._phases: dict[str, dict[str, Any]] = before.get("phases", {})
        self._parts.append({"from": start, "to": start, "began": _now(), "ended": None})
        self._iterations = iterations
        self._since = time.perf_counter()
        self._write(start)

    def advance(self, done: int, phase: str, ended: bool = False) -> None:
        """Count the iterations since the last call as ``phase``'s.

        Args:
            done: iterations of the run that are done.
            ended: whether this part of the run ends here.
        """
        now, part = time.perf_counter(), self._parts[-1]
        spent = self._phases.setdefault(phase, {"iterations": 0, "seconds": 0.0})
        spent["iterations"] += done - part["to"]
        spent["seconds"] = round(spent["seconds"] + now - self._since, 3)
        self._since = now
        part |= {"to": done, "ended": _now() if ended else None}
        self._write(done)

    def _write(self, done: int) -> None:
        told = {"iteration": done, "iterations": self._iterations, "updated": _now()}
        self._run.write_json(self._run.progress, told | {"phases": self._phases, "parts": self._parts})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

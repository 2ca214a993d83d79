"""The errors that end in one line: what was wrong, with its value, and the mend. Any other that escapes is a bug."""

import contextlib
import os
import sys
from collections.abc import Iterator


class SynthdataError(Exception):
    """Base of the errors written for the person who caused them."""

    exit_code = 1


class MisuseError(SynthdataError):
    """The request cannot be met as given: a wrong flag, a missing folder, data that does not fit."""

    exit_code = 2


class FailureError(SynthdataError):
    """The request was sound and something failed on the way: a full disk, a corrupt shard, a silent Hub."""


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with ``error: …`` on stderr and the error's exit code instead of a traceback.

    Misuse is seen by all processes of a run alike and printed by the first, so that one cause gives one line; a failure
    may meet any of them.
    """
    try:
        yield
    except SynthdataError as error:
        if isinstance(error, FailureError) or os.environ.get("RANK", "0") == "0":
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)

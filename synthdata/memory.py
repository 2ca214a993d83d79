"""What this machine's memory holds, asked before it is taken."""

import os

from synthdata.errors import MisuseError


def memory_bytes() -> int | None:
    """The memory of this machine, or of the control group that this process runs in; None where it is not known."""
    try:
        sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, OSError, ValueError):
        return None
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(limit) as file:
                sizes.append(int(file.read()))
        except (OSError, ValueError):  # there is none, or it is "max"
            continue
    return min(sizes)


def check_fits(needed: int, what: str, mend: str) -> None:
    """Raise for ``needed`` bytes that this machine does not have.

    Args:
        needed: bytes.
        what: that takes them, the subject of the message.
        mend: what to do.

    Raises:
        MisuseError: saying how much it would take and how much there is.
    """
    available = memory_bytes()
    if available is not None and needed > available:
        raise MisuseError(f"{what} would take {_gib(needed)} of memory, this machine has {_gib(available)}: {mend}")


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"

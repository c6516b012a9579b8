"""What a process takes, as on a quiet machine: a bench beside busy neighbours would count theirs."""

import resource
import time
from pathlib import Path

_STATUS = Path("/proc/self/status")


def seconds(cores: int) -> float:
    """Of this process so far: the work of all threads over the cores, or the first thread's own where that is more."""
    return max(time.thread_time(), time.process_time() / cores)


def peak() -> int:
    """The most bytes of memory that this process had. Not `ru_maxrss` where there is another: on Linux it begins with
    the peak of the process that started this one."""
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024

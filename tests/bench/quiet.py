"""Seconds as they would pass on a quiet machine: a bench beside busy neighbours would count theirs."""

import time


def seconds(cores: int) -> float:
    """Of this process so far: the work of all threads over the cores, or the first thread's own where that is more."""
    return max(time.thread_time(), time.process_time() / cores)

"""Peak memory of a process on Linux.

`getrusage` does not serve: the peak of a child that `subprocess` starts includes what its parent has.
"""

from pathlib import Path


def peak_bytes(process: int | str = "self") -> int:
    """The most resident memory that a process had at once, in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def restart_peak() -> int:
    """Let the peak of this process begin again; return its resident memory now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()

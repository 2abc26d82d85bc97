"""An example run as a program, as its reader would."""

import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running_example(command: Sequence[str | Path], environment: Mapping[str, str]) -> Iterator[str]:
    """A program that serves HTTP and logs where; HOST:PORT."""
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if match := re.search(r"http://(127\.0\.0\.1:\d+)", line):
                    break
            else:
                raise AssertionError("".join(lines))
            reader = threading.Thread(target=process.stderr.read)
            reader.start()
            yield match[1]
            process.terminate()
            reader.join()
        finally:
            process.kill()

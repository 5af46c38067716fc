"""Runs commands one after the other and says what each printed, how long it took and how much memory it had.

A small program of its own, since a process begins with the peak of the one that started it. Reads a list of command
lines from standard input, writes a list of [status, out, err, seconds, peak KiB]; JSON both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time

_KILL_AFTER_SECONDS = 60


def measure(words: list[str]) -> tuple[int, str, str, float, int]:
    """One command."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        alarm = threading.Timer(_KILL_AFTER_SECONDS, process.kill)
        alarm.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        alarm.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "backslashreplace"))
        return process.returncode, texts[0], texts[1], seconds, usage.ru_maxrss


if __name__ == "__main__":
    json.dump([measure(words) for words in json.load(sys.stdin)], sys.stdout)

"""Volumes that look active, without a server."""

from __future__ import annotations

import fcntl
import os

from cryptlv.activate.process import ServerFiles


class ServerLock:
    """The lock that says a volume is active, held as its server does."""

    def __init__(self, run_dir: str, lv_id: str) -> None:
        self.path = ServerFiles(run_dir, lv_id).lock

    def __enter__(self) -> None:
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

"""Questions to a process of its own: answered, or ended when it hangs, crashes or talks too much."""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cryptlv.host.outside import ask_process, receive_frames, send_frames

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "import socket, sys, time\nfrom cryptlv.host.outside import *\nc = socket.socket(fileno=int(sys.argv[1]))\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that children find, to be filled with what they do with the connection `c`."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "other_code.py"


def test_frames_of_any_size_come_back(module: Path) -> None:
    module.write_text(f"{HEAD}send_frames(c, [bytes(f[::-1]) for f in receive_frames(c)])\n")
    frames: list[bytes | memoryview] = [b"", b"abc", bytes(range(256)) * 4096, memoryview(b"key")]
    assert ask_process("other_code", frames, 20) == [bytes(frame)[::-1] for frame in frames]


def test_a_process_that_hangs_is_ended_in_time(module: Path) -> None:
    module.write_text(f"{HEAD}print('x' * 10**6)\nreceive_frames(c)\ntime.sleep(60)\n")
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        ask_process("other_code", [b"x"], 1)
    assert time.monotonic() - start < 10


def test_one_that_never_listens_to_a_long_question_is_ended_too(module: Path) -> None:
    module.write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(TimeoutError):
        ask_process("other_code", [bytes(16 << 20)], 1)


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit(3)", "import os; os.abort()", f"{HEAD}receive_frames(c)\nc.sendall(b'\\x02')",
        f"{HEAD}receive_frames(c)\nc.sendall(b'\\x01' + (1 << 40).to_bytes(8))",
    ],
)  # fmt: skip
def test_no_answer_or_half_of_one_is_an_error(module: Path, code: str) -> None:
    module.write_text(code + "\n")
    with pytest.raises(EOFError):
        ask_process("other_code", [b"question"], 20)


def test_a_deadline_counts_for_all_of_an_answer() -> None:
    ours, theirs = socket.socketpair()

    def trickle() -> None:
        theirs.sendall(b"\x01" + struct.pack(">Q", 100))
        for _ in range(20):
            time.sleep(0.1)
            theirs.sendall(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    with ours, theirs:
        with pytest.raises(TimeoutError):
            receive_frames(ours, time.monotonic() + 0.5)
        thread.join()
    left, right = socket.socketpair()
    with left, right:
        send_frames(left, [b"a", b""])
        assert receive_frames(right) == [b"a", b""]

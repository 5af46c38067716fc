"""Passphrases come in as cryptsetup takes them: files whole, standard input one line, a terminal without echo."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CredentialError, NobodyToAskError
from cryptlv.host.prompt import MAX_KEY_FILE_BYTES, CredentialSource, KeyDirectory, KeyFile
from support.machine import FAST, Machine, need

if TYPE_CHECKING:
    from pathlib import Path

CRYPT = ("lvcreate", "--type", "crypt", *FAST, "-l1", "-nsecret")


def given(source: CredentialSource) -> bytes:
    with source.get("open", "vg0/x", "passphrase") as secret, secret.reveal() as view:
        return bytes(view)


@pytest.mark.parametrize("data", [b"x", b"with\nnewlines\n", b"\x00\xff\xfe", b"a" * 5000])
def test_a_key_file_is_taken_whole(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(data)
    warnings: list[str] = []
    with CredentialSource(KeyFile(path=str(path)), warnings.append) as source:
        assert given(source) == data
        path.unlink()
        assert given(source) == data, "it is read once"
        assert not source.may_retry
    assert not warnings


def test_a_directory_has_a_key_file_for_each_keystore(tmp_path: Path) -> None:
    (tmp_path / "vg0").mkdir()
    for name in ("vg0/cryptostore1", "id"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(f"key of {name}")
    warnings: list[str] = []
    source = KeyDirectory(KeyFile(path=str(tmp_path), skip_bytes=4, size_bytes=5), warnings.append)

    def found(*names: str) -> bytes:
        with source.get("open", "vg0/x", "passphrase", names) as secret, secret.reveal() as view:
            return bytes(view)

    assert found("none", "vg0/cryptostore1") == b"of vg"
    assert found("id", "vg0/cryptostore1") == b"of id"
    assert not source.may_retry
    with pytest.raises(NobodyToAskError, match=f"{tmp_path} has no file vg0/cryptostore2 or id2"):
        found("vg0/cryptostore2", "id2")
    (tmp_path / "id").chmod(0o640)
    assert not warnings
    found("id")
    assert "0640" in warnings[0]
    (tmp_path / "id").write_bytes(b"")
    with pytest.raises(CredentialError, match="id"):
        found("id")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CredentialError, match="loop: cannot read"):
        found("loop")


def test_people_are_asked_on_a_terminal_and_standard_input_is_left_alone() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"not meant\n")
    kept = os.dup(0)
    try:
        os.dup2(ours, 0)
        with pytest.raises(NobodyToAskError, match="its passphrase is needed, and there is no terminal"):
            given(CredentialSource(None, lambda _: None, only_people=True))
        assert given(CredentialSource(None, lambda _: None)) == b"not meant"
    finally:
        os.dup2(kept, 0)
        for descriptor in (kept, ours, theirs):
            os.close(descriptor)


def test_a_key_file_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"x")
    path.chmod(0o644)
    warnings: list[str] = []
    given(CredentialSource(KeyFile(path=str(path)), warnings.append))
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    assert "0644" in warnings[0]


def test_bad_key_files_are_named(tmp_path: Path) -> None:
    empty, large = tmp_path / "empty", tmp_path / "large"
    for path in (empty, large):
        path.touch(mode=0o600)
    with large.open("wb") as file:
        file.truncate(MAX_KEY_FILE_BYTES + 1)
    for path, word in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "directory"),
        (empty, "empty"),
        (large, "8 MiB"),
    ):
        with pytest.raises(CredentialError, match=word) as caught:
            given(CredentialSource(KeyFile(path=str(path)), lambda _: None))
        assert str(path) in str(caught.value)
    with pytest.raises(CredentialError):
        given(CredentialSource(KeyFile(path=""), lambda _: None))


def luks_opens(machine: Machine, passphrase: bytes) -> bool:
    """Whether cryptsetup opens the keystore of vg0/secret, which begins with the first extent, with these bytes."""
    need("cryptsetup")
    header = (machine.folder / "a.img").read_bytes()[2**20 : 5 * 2**20]
    (machine.folder / "header").write_bytes(header)
    key = machine.key_file("judge", passphrase)
    done = machine.tool("cryptsetup", "open", "--test-passphrase", "--key-file", key, "header", expect=None)
    return done.status == 0


@pytest.mark.compat
@pytest.mark.parametrize(
    ("words", "stdin", "passphrase"),
    [
        ((), b"one line\nthe rest\n", b"one line"),
        ((), b"no newline", b"no newline"),
        ((), b"\xff\x00\xfe\n", b"\xff\x00\xfe"),
        (("--keyfile", "-"), b"one line\nthe rest\n", b"one line\nthe rest\n"),
        (("--keyfile", "file"), b"not looked at", b"from file\n"),
    ],
)
def test_newlines_count_as_they_do_for_cryptsetup(
    vg0: Machine, words: tuple[str, ...], stdin: bytes, passphrase: bytes
) -> None:
    vg0.key_file("file", b"from file\n")
    vg0.run(*CRYPT, *words, "vg0", given=stdin)
    assert luks_opens(vg0, passphrase)
    assert not luks_opens(vg0, passphrase + b"\n")
    vg0.run("lvchange", "-ay", *words, "vg0/secret", given=stdin)


@pytest.mark.parametrize(("stdin", "word"), [(b"", "no passphrase"), (b"\n", "empty"), (b"x" * 513, "512 bytes")])
def test_standard_input_without_a_passphrase_is_refused(vg0: Machine, stdin: bytes, word: str) -> None:
    assert word in vg0.fail(*CRYPT, "vg0", given=stdin)
    assert vg0.run("lvs", "-a").out == ""


def test_each_volume_takes_its_own_line_of_standard_input(vg0: Machine) -> None:
    vg0.run(*CRYPT, "vg0", given=b"first\n")
    vg0.run(*CRYPT[:-1], "-nzother", "vg0", given=b"second\n")
    assert len(vg0.run("vgchange", "-ay", "vg0", given=b"first\nsecond\n").lines) == 3
    vg0.run("vgchange", "-an", "vg0")


class Typist:
    """A command on a terminal of its own; `type` waits for a prompt and answers it."""

    def __init__(self, machine: Machine, *words: str) -> None:
        self.screen = b""
        self._pid, self._terminal = pty.fork()
        if not self._pid:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where the tests run in the background
            os.chdir(machine.folder)
            os.execve(sys.executable, [sys.executable, "-m", "cryptlv", *words], machine.environ)  # noqa: S606

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + 30
        start = len(self.screen)
        while text not in self.screen[start:]:
            assert time.monotonic() < deadline, self.screen
            if select.select([self._terminal], [], [], 0.2)[0]:
                self.screen += os.read(self._terminal, 4096)

    def type(self, prompt: bytes, answer: bytes) -> None:
        self.wait_for(prompt)
        os.write(self._terminal, answer)

    def end(self) -> int:
        """The exit status; what was shown meanwhile is in `screen`."""
        try:
            while select.select([self._terminal], [], [], 30)[0] and (data := os.read(self._terminal, 4096)):
                self.screen += data
        except OSError:  # Linux says so when the other side is closed
            pass
        os.close(self._terminal)  # which hangs up on a command that still waits
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def test_a_terminal_asks_twice_and_shows_nothing(vg0: Machine) -> None:
    typist = Typist(vg0, *CRYPT, "vg0")
    typist.type(b"Enter passphrase for vg0/secret: ", b"pass \xc3\xa9\xffword\n")
    typist.type(b"Verify passphrase: ", b"pass \xc3\xa9\xffword\n")
    assert typist.end() == 0
    assert b"pass " not in typist.screen.replace(b"passphrase", b"")
    assert luks_opens(vg0, b"pass \xc3\xa9\xffword")


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [(b"one\n", b"two\n", b"not the same"), (b"\n", None, b"empty"), (b"\x04", None, b"no input")],
)
def test_a_terminal_refuses_what_cannot_be_meant(
    vg0: Machine, first: bytes, second: bytes | None, word: bytes
) -> None:
    typist = Typist(vg0, *CRYPT, "vg0")
    typist.type(b"Enter passphrase", first)
    if second is not None:
        typist.type(b"Verify", second)
    assert typist.end() == 5
    assert word in typist.screen
    assert vg0.run("lvs", "-a").out == ""


def test_a_terminal_has_three_tries_to_open(vg0: Machine) -> None:
    vg0.run(*CRYPT, "vg0", given=b"right\n")
    typist = Typist(vg0, "lvchange", "-ay", "vg0/secret")
    for answer in (b"wrong1\n", b"wrong2\n", b"right\n"):
        typist.type(b"Enter passphrase for vg0/secret: ", answer)
    assert typist.end() == 0
    assert b"2 tries left" in typist.screen
    assert b"1 try left" in typist.screen
    assert b"wrong1" not in typist.screen
    vg0.run("lvchange", "-an", "vg0/secret")
    typist = Typist(vg0, "lvchange", "-ay", "vg0/secret")
    for answer in (b"wrong1\n", b"wrong2\n", b"wrong3\n"):
        typist.type(b"Enter passphrase", answer)
    assert typist.end() == 5


def test_control_c_at_the_prompt_ends_it_and_gives_the_echo_back(vg0: Machine) -> None:
    typist = Typist(vg0, *CRYPT, "vg0")
    typist.type(b"Enter passphrase", b"half\x03")
    assert typist.end() == 130
    assert b"half" not in typist.screen
    assert b"Interrupted" in typist.screen
    assert vg0.run("lvs", "-a").out == ""


def test_a_question_on_a_terminal_takes_yes_and_no(vg0: Machine) -> None:
    vg0.run(*CRYPT, "vg0", given=b"x\n")
    typist = Typist(vg0, "lvremove", "vg0/secret")
    typist.type(b"[y/n]: ", b"maybe\n")
    typist.type(b"[y/n]: ", b"n\n")
    assert typist.end() == 5
    typist = Typist(vg0, "lvremove", "vg0/secret")
    typist.type(b"[y/n]: ", b"y\n")
    assert typist.end() == 0
    assert vg0.run("lvs", "-a").out == ""


@pytest.mark.parametrize(
    ("skip", "size", "expected"),
    [(0, None, b"0123456789\n"), (3, None, b"3456789\n"), (0, 4, b"0123"), (7, 3, b"789"), (10, 1, b"\n")],
)
@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_part_of_a_key_file_or_pipe_is_taken(
    tmp_path: Path, kind: str, skip: int, size: int | None, expected: bytes
) -> None:
    path = tmp_path / "key"
    if kind == "file":
        path.touch(mode=0o600)
        path.write_bytes(b"0123456789\n")
    else:
        os.mkfifo(path, 0o600)
        if os.fork() == 0:
            path.write_bytes(b"0123456789\n")
            os._exit(0)
    assert given(CredentialSource(KeyFile(path=str(path), skip_bytes=skip, size_bytes=size), print)) == expected
    if kind == "pipe":
        os.wait()


@pytest.mark.parametrize(
    ("skip", "size", "word"),
    [
        (0, 11, "only 10 bytes of the 11"),
        (5, 6, "only 5 bytes of the 6"),
        (11, None, "--keyfile-offset 11"),
        (10, None, "empty"),
        (0, 0, "--keyfile-size 0"),
        (0, MAX_KEY_FILE_BYTES + 1, "8 MiB"),
    ],
)
def test_a_part_that_is_not_there_is_refused(tmp_path: Path, skip: int, size: int | None, word: str) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(b"0123456789")
    with pytest.raises(CredentialError, match=word) as caught:
        given(CredentialSource(KeyFile(path=str(path), skip_bytes=skip, size_bytes=size), print))
    assert "0123" not in str(caught.value)


@pytest.mark.compat
def test_offset_and_size_count_as_they_do_for_cryptsetup(vg0: Machine) -> None:
    key = vg0.key_file("file", b"0123456789\nabc")
    part = ("--keyfile", key, "--keyfile-offset", "4", "--keyfile-size", "8")
    vg0.run(*CRYPT, *part, "vg0")
    assert luks_opens(vg0, b"456789\na")
    words = ("cryptsetup", "open", "--test-passphrase", "--key-file", key, "header")
    vg0.tool(*words, "--keyfile-offset", "4", "--keyfile-size", "8")
    vg0.tool(*words, expect=2)
    vg0.run("lvchange", "-ay", *part, "vg0/secret")
    vg0.run("lvchange", "-an", "vg0/secret")
    assert "--keyfile" in vg0.fail("lvchange", "-ay", "--keyfile-size", "8", "vg0/secret", status=3)


def test_a_terminal_is_no_key_file() -> None:
    controller, terminal = pty.openpty()
    try:
        with pytest.raises(CredentialError, match="is a terminal"):
            given(CredentialSource(KeyFile(path=os.ttyname(terminal)), print))
    finally:
        os.close(controller)
        os.close(terminal)

"""Keys in the kernel's keyring, with stock keyctl as the judge."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import KeyringError
from cryptlv.host.keyring import LOGON, USER, drop_key, find_key, load_keyutils, put_key, read_key
from cryptlv.secret import Secret, VolumeKey
from support.machine import need, need_root

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = bytes(range(64))


def keyctl(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["keyctl", *words], capture_output=True, check=False)


@pytest.fixture
def name() -> Iterator[str]:
    need("keyctl")
    name = f"cryptlv:test:{os.getpid()}:{time.monotonic_ns()}"
    yield name
    for kind in (USER, LOGON):
        drop_key(kind, name)


def test_a_key_is_kept_read_replaced_and_dropped(name: str) -> None:
    assert read_key(name) is None
    number = put_key(USER, name, Secret(KEY))
    assert keyctl("pipe", str(number)).stdout == KEY
    found = read_key(name)
    assert isinstance(found, VolumeKey)
    assert found.matches(Secret(KEY))
    put_key(USER, name, Secret(KEY[::-1]))
    again = read_key(name)
    assert again is not None
    assert again.matches(Secret(KEY[::-1]))
    assert drop_key(USER, name)
    assert read_key(name) is None
    assert keyctl("pipe", str(number)).returncode != 0
    assert not drop_key(USER, name)


def test_a_logon_key_is_found_and_cannot_be_read(name: str) -> None:
    number = put_key(LOGON, name, Secret(KEY))
    assert find_key(LOGON, name) == number
    assert (
        keyctl("describe", str(number)).stdout.split(b";")[0] == b"logon"
        or b"logon" in keyctl("rdescribe", str(number)).stdout
    )
    assert keyctl("pipe", str(number)).returncode != 0
    assert find_key(USER, name) is None
    assert drop_key(LOGON, name)
    assert find_key(LOGON, name) is None


def test_a_key_ends_with_its_time(name: str) -> None:
    put_key(USER, name, Secret(KEY), timeout_seconds=1)
    assert read_key(name) is not None
    end = time.monotonic() + 20
    while read_key(name) is not None and time.monotonic() < end:
        time.sleep(0.1)
    assert read_key(name) is None


def test_another_process_in_a_session_of_its_own_reads_it(name: str) -> None:
    put_key(USER, name, Secret(KEY))
    code = (
        "import sys\nfrom cryptlv.host.keyring import read_key\n"
        "from cryptlv.secret import Secret\n"
        "found = read_key(sys.argv[1])\n"
        f"sys.exit(0 if found is not None and found.matches(Secret({KEY!r})) else 1)"
    )
    done = subprocess.run(
        ["keyctl", "session", "-", sys.executable, "-c", code, name], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_key_that_is_too_long_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(KeyringError, match="cannot be kept in the kernel's keyring: ") as caught:
        put_key(USER, name, Secret(bytes(40_000)))
    assert caught.value.errno == errno.EINVAL


def test_a_full_quota_is_told_as_that(name: str) -> None:
    """As a user with a share of 20 kB (root's is larger than the kernel lets one key be)."""
    need_root()
    code = (
        "import os, resource\nfrom cryptlv.errors import KeyringError\n"
        "from cryptlv.host.keyring import USER, drop_key, put_key\n"
        "from cryptlv.secret import Secret\n"
        "drop_key(USER, 'cryptlv:quota:0')\nos.setgroups([])\nos.setuid(65534)\n"
        "try:\n"
        "    for number in range(100):\n"
        "        put_key(USER, f'cryptlv:quota:{number}', Secret(bytes(10_000)))\n"
        "except KeyringError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "this user's share is full" in done.stdout, done.stderr


def test_without_the_library_it_is_named() -> None:
    with pytest.raises(KeyringError, match=r"libnosuchkeyutils.*install libkeyutils1"):
        load_keyutils("libnosuchkeyutils.so.1")

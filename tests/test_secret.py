"""Secrets show nothing, are wiped, and have one exit."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys

import pytest

from cryptlv.secret import Passphrase, Secret, VolumeKey

BYTES = b"\x00\xffvery secret"


@pytest.mark.parametrize("kind", [Secret, Passphrase, VolumeKey])
def test_only_reveal_shows_the_bytes(kind: type[Secret]) -> None:
    secret = kind(BYTES)
    assert len(secret) == len(BYTES)
    with secret.reveal() as view:
        assert bytes(view) == BYTES
        assert view.readonly
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r}"):
        assert text == f"<{kind.__name__}>"


def test_the_view_is_dead_outside_its_block() -> None:
    with Secret(BYTES).reveal() as view:
        pass
    with pytest.raises(ValueError, match="released"):
        bytes(view)


def test_a_bytearray_that_was_given_is_overwritten() -> None:
    source = bytearray(BYTES)
    with Secret(source):
        assert source == bytes(len(BYTES))


def test_closing_wipes_and_forbids_use() -> None:
    secret = Secret(BYTES)
    buffer = secret._buffer
    assert buffer is not None
    with memoryview(buffer) as memory:
        before = bytes(memory)
    assert before.startswith(BYTES)
    secret.close()
    secret.close()
    with pytest.raises(ValueError, match="closed"), secret.reveal():
        pass


def test_secrets_are_compared_in_one_way_only() -> None:
    one, same, other = Secret(b"a"), Secret(b"a"), Secret(b"b")
    assert one.matches(same)
    assert not one.matches(other)
    assert not one.matches(Secret(b"aa"))
    with pytest.raises(TypeError):
        assert one == same
    with pytest.raises(TypeError):
        hash(one)


def test_secrets_cannot_leave_by_copies_pickles_or_json() -> None:
    secret = Passphrase(BYTES)
    for leave in (copy.copy, copy.deepcopy, pickle.dumps, json.dumps):
        with pytest.raises(TypeError):
            leave(secret)
    assert not hasattr(secret, "__dict__")


def in_another_process(code: str) -> list[str]:
    """The words that a script prints, run with core dumps allowed."""
    script = (
        f"import ctypes, os, resource\nfrom cryptlv.secret import Secret\nprctl = ctypes.CDLL(None).prctl\n{code}"
    )
    words = [sys.executable, "-c", script]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def test_no_core_dump_is_made_and_nobody_may_trace_while_one_is_alive() -> None:
    said = in_another_process(
        "hard = resource.getrlimit(resource.RLIMIT_CORE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))\n"
        "say = lambda: print(prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0] == hard != 0)\n"
        "say()\none = Secret(b'x')\nsay()\ntwo = Secret(b'y')\none.close()\nsay()\ndel two\nsay()\n"
    )
    assert said[::2] == ["1", "0", "0", "1"]
    assert said[1] == said[7]
    assert said[3] == said[5] == "False"


def test_a_process_that_forbids_dumps_for_good_keeps_them_forbidden() -> None:
    said = in_another_process(
        "from cryptlv.host.system import forbid_dumps\nforbid_dumps()\nSecret(b'x').close()\n"
        "print(prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0])\n"
    )
    assert said == ["0", "0"]


def test_the_memory_cannot_be_read_by_others_or_is_locked() -> None:
    said = in_another_process(
        "secret = Secret(b'find me if you can')\n"
        "maps = open('/proc/self/maps').read()\n"
        "locked = [line for line in open('/proc/self/smaps') if line.startswith('Locked:') and '0 kB' not in line]\n"
        "print('secretmem' in maps or bool(locked))\n"
    )
    assert said == ["True"]


def test_secrets_that_are_alive_at_the_end_make_no_noise() -> None:
    script = "from cryptlv.secret import Secret\nkept = Secret(b'x')\nring = [Secret(b'y')]\nring.append(ring)\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""

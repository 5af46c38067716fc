"""The native loop's own behaviour, and what is said where it, or a library, is missing."""

from __future__ import annotations

import gc
import threading

import pytest

from cryptlv.ciphers.iv import plan_iv
from cryptlv.ciphers.native import find_loop, open_loop
from cryptlv.ciphers.spec import parse_cipher_spec
from cryptlv.errors import CipherError
from cryptlv.libraries import LIBRARIES, NO_CALL, find_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.ciphers._sectors import Loop


def _open(spec: str, libraries: tuple[str, str], key_bytes: int = 64, size: int = 512) -> Loop:
    parsed = parse_cipher_spec(spec)
    plan = plan_iv(parsed, size, iv_large_sectors=False)
    return open_loop(parsed, memoryview(bytes(range(key_bytes))), size, plan, libraries)


@pytest.mark.parametrize("spec", ["aes-xts-plain64", "aes-cbc-essiv:sha256", "aes-ctr-benbi", "aes-cbc-eboiv"])
def test_one_library_encrypts_what_the_other_decrypts(spec: str) -> None:
    key_bytes = 64 if "xts" in spec else 32
    plain = bytes(range(256)) * 2 * 70
    results = set()
    for libraries in (LIBRARIES, LIBRARIES[::-1]):
        loop = _open(spec, (libraries[0], libraries[1]), key_bytes)
        buffer = bytearray(plain)
        loop.encrypt(buffer, 2**64 - 3)
        results.add(bytes(buffer))
        loop.decrypt(buffer, 2**64 - 3)
        assert buffer == plain
    assert len(results) == 1


@pytest.mark.parametrize("spec", ["aes-lrw-benbi", "xchacha12,aes-adiantum-plain64"])
def test_modes_that_it_has_not_got_are_named(spec: str) -> None:
    with pytest.raises(CipherError, match=f"native part does not do {spec}"):
        _open(spec, ("libgcrypt", "libgcrypt"), 32)


def test_numbers_of_sectors_wrap() -> None:
    loop = _open("aes-xts-plain64", ("libgcrypt", "openssl"))
    results = []
    for first in (5, 5 + 2**64, 5 - 2**64):
        buffer = bytearray(1024)
        loop.encrypt(buffer, first)
        results.append(buffer)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("arguments", [(), (bytearray(512),), (bytearray(512), "1"), ("text", 1), (None, 1), (1, 1)])
def test_wrong_arguments_are_type_errors(arguments: tuple[object, ...]) -> None:
    loop = _open("aes-xts-plain64", ("libgcrypt", "libgcrypt"))
    for run in (loop.encrypt, loop.decrypt):
        with pytest.raises(TypeError):
            run(*arguments)  # type: ignore[arg-type]


def test_a_loop_that_cannot_be_is_refused() -> None:
    call = find_library("libgcrypt").open("aes", "ecb", memoryview(bytes(16)), encrypts=True)
    numbers = (1, 0, 1, 0, 0)
    for size, steps, calls in (
        (500, numbers, (call.call, call.call, NO_CALL, NO_CALL)),
        (0, numbers, (call.call, call.call, NO_CALL, NO_CALL)),
        (512, (1, 64, 1, 0, 0), (call.call, call.call, NO_CALL, NO_CALL)),
        (512, numbers, (NO_CALL, call.call, NO_CALL, NO_CALL)),
    ):
        with pytest.raises(ValueError, match="no such loop"):
            find_loop()(size, steps, False, False, calls, [call])


def test_a_loop_is_for_one_thread_at_a_time() -> None:
    """The second thread is refused while the first is at work, which takes a tenth of a second."""
    loop = _open("serpent-xts-plain64", ("libgcrypt", "libgcrypt"))
    refused: list[str] = []
    thread = threading.Thread(target=loop.encrypt, args=(bytearray(16 * 2**20), 0))
    thread.start()
    while thread.is_alive():
        try:
            loop.encrypt(bytearray(512), 0)
        except RuntimeError as error:
            refused.append(str(error))
    thread.join()
    assert set(refused) == {"a loop is for one thread at a time"}


def test_the_handles_are_closed_with_the_loop() -> None:
    closed: list[str] = []

    class Owner:
        def __del__(self) -> None:
            closed.append("closed")

    call = find_library("libgcrypt").open("aes", "ecb", memoryview(bytes(16)), encrypts=True)
    calls = (call.call, call.call, NO_CALL, NO_CALL)
    loop = find_loop()(512, (1, 0, 1, 0, 0), False, False, calls, [call, Owner()])
    gc.collect()
    loop.encrypt(bytearray(512), 0)
    assert closed == []
    del loop
    assert closed == ["closed"]

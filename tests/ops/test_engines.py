"""What encrypts here: every engine is told, and the one in use is among those that were measured."""

from __future__ import annotations

from cryptlv.ciphers.engine import ENGINES
from cryptlv.libraries import LIBRARIES, find_library
from cryptlv.ops.engines import SPECS, cipher_speeds, engine_states


def test_every_engine_has_a_version_or_a_reason() -> None:
    states = engine_states()
    assert [state.name for state in states] == list(ENGINES)
    assert all(bool(state.version) != bool(state.reason) for state in states)
    for state in states[: len(LIBRARIES)]:
        assert state.version == find_library(state.name).version


def test_speeds_of_every_cipher_and_engine_that_has_it() -> None:
    speeds = cipher_speeds()
    assert [(row.spec, row.key_bits) for row in speeds] == list(SPECS)
    for row in speeds:
        names = [name for name, *_ in row.speeds]
        assert set(row.chosen) <= set(names)
        assert all(encrypted > 0 and decrypted > 0 for _, encrypted, decrypted in row.speeds)
    by_spec = {row.spec: [name for name, *_ in row.speeds] for row in speeds}
    assert by_spec["aes-xts-plain64"] == ["libgcrypt", "openssl", "numpy"]
    assert by_spec["serpent-xts-plain64"] == ["libgcrypt", "numpy"]
    assert by_spec["aes-lrw-benbi"] == ["numpy"]

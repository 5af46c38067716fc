"""The user as a source of credentials is made in one place; host/test_prompt.py shows what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.host.prompt import CredentialSource
from cryptlv.ops.credentials import credential_source

if TYPE_CHECKING:
    from pathlib import Path


def test_a_key_file_is_never_asked_twice(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_bytes(b"secret")
    source = credential_source(str(key), lambda _: None)
    assert isinstance(source, CredentialSource)
    assert not source.may_retry
    with source, source.get("create", "vg0/x", "passphrase") as secret, secret.reveal() as view:
        assert bytes(view) == b"secret"

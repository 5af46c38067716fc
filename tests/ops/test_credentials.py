"""The user as a source of credentials is made in one place; host/test_prompt.py shows what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.host.prompt import CredentialSource, KeyDirectory
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


def test_several_keystores_are_opened_by_a_file_or_by_a_directory_of_them(tmp_path: Path) -> None:
    def kind(path: str | None) -> type:
        with credential_source(path, lambda _: None, for_stores=True) as source:
            return type(source)

    assert kind(str(tmp_path)) is KeyDirectory
    assert kind(str(tmp_path / "not there yet") + "/") is KeyDirectory
    assert kind(str(tmp_path / "file")) is CredentialSource
    assert kind("-") is CredentialSource
    assert kind(None) is CredentialSource
    with credential_source(str(tmp_path), lambda _: None) as source:
        assert type(source) is CredentialSource

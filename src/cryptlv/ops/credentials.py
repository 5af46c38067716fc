"""What operations need of whoever asks the user for keys."""

from __future__ import annotations

import os

from cryptlv.errors import WrongCredential

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    from cryptlv.host.prompt import CredentialSource, KeyDirectory
    from cryptlv.secret import Secret

    Made = TypeVar("Made")

    class Credentials(Protocol):
        """A source of passphrases and keys: a key file, a directory of them, standard input, or a terminal."""

        @property
        def may_retry(self) -> bool:
            """Whether asking again can give another answer (a terminal)."""

        @property
        def cache_seconds(self) -> int:
            """How long a volume key that was got with them is kept in the kernel's keyring; 0: it is not."""

        def get(self, purpose: str, what: str, kind: str, names: tuple[str, ...] = ()) -> Secret:
            """A credential for `what`.

            `purpose` is "create" (asked twice on a terminal) or "open", `kind` "passphrase" or "volume key". `names`
            are those that a key file for it may have. Raises CredentialError.
            """


TRIES = 3


def with_credential(
    credentials: Credentials,
    what: str,
    kind: str,
    use: Callable[[Secret], Made],
    warn: Callable[[str], None],
    names: tuple[str, ...] = (),
) -> Made:
    """What `use` makes of a credential that opens `what`; one that does not is told, and another one asked for, where
    that makes sense. Raises WrongCredential, CredentialError, and what `use` raises."""
    for left in range(TRIES - 1 if credentials.may_retry else 0, -1, -1):
        with credentials.get("open", what, kind, names) as credential:
            try:
                return use(credential)
            except WrongCredential as error:
                if not left:
                    raise
                warn(f"{error}; {left} {'tries' if left > 1 else 'try'} left")
    raise AssertionError("unreachable")


def credential_source(
    key_file: str | None,
    warn: Callable[[str], None],
    *,
    skip_bytes: int = 0,
    size_bytes: int | None = None,
    cache_seconds: int = 0,
    for_stores: bool = False,
    only_people: bool = False,
) -> CredentialSource | KeyDirectory:
    """The user, as a source of credentials: a key file ("-" is standard input) or a part of it, or None to ask.

    With `for_stores` a path may be a directory's, as one that ends in a slash is, with a key file for each keystore.
    With `only_people` standard input that is no terminal is not read unless it is named.
    """
    from cryptlv.host.prompt import CredentialSource, KeyDirectory, KeyFile

    if key_file is None:
        return CredentialSource(None, warn, cache_seconds, only_people=only_people)
    place = KeyFile(path=key_file, skip_bytes=skip_bytes, size_bytes=size_bytes)
    if for_stores and (key_file.endswith("/") or os.path.isdir(key_file)):
        return KeyDirectory(place, warn, cache_seconds)
    return CredentialSource(place, warn, cache_seconds)

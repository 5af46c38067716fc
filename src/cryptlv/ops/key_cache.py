"""Volume keys kept across commands, in the kernel's keyring of this user, for as long as the user wants that.

What is kept under a keystore's id is the key with the SHA-256 of what it was unlocked from: another header or other
attributes are another keystore, whose passphrase is asked for. The kernel drops the key when its time is over.
"""

from __future__ import annotations

from cryptlv.errors import KeyringError
from cryptlv.host.keyring import USER, drop_key, put_key, read_key
from cryptlv.secret import Secret, VolumeKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.ops.activation import KeystoreView

_DIGEST_BYTES = 32


def cached_key(view: KeystoreView) -> VolumeKey | None:
    """The key of a keystore, when it was kept and is still right; a keyring that cannot be used holds nothing."""
    import hmac

    try:
        kept = read_key(_name(view.store_id))
    except KeyringError:
        return None
    if kept is None:
        return None
    with kept, kept.reveal() as content:
        if len(content) > _DIGEST_BYTES and hmac.compare_digest(content[:_DIGEST_BYTES], _digest(view)):
            return VolumeKey(content[_DIGEST_BYTES:])
    forget_key(view.store_id)
    return None


def keep_key(view: KeystoreView, key: VolumeKey, seconds: int, warn: Callable[[str], None]) -> None:
    """Keep a key for so many seconds from now; a keyring that does not take it is a warning."""
    with key.reveal() as revealed:
        content = bytearray(_digest(view))
        content += revealed
    try:
        with Secret(content) as secret:
            put_key(USER, _name(view.store_id), secret, seconds)
    except KeyringError as error:
        warn(f"the key is not kept for {seconds} seconds: {error}")


def forget_key(store_id: str) -> None:
    """Drop the key of a keystore, if one was kept."""
    try:
        drop_key(USER, _name(store_id))
    except KeyringError:
        return


def _name(store_id: str) -> str:
    return f"cryptlv:cache:{store_id}"


def _digest(view: KeystoreView) -> bytes:
    import hashlib

    return hashlib.sha256(repr(view.attributes).encode() + view.image).digest()

"""Key handlers as operations use them: built-in ones in this process, those of other packages in one of their own.

A handler of another package is code that nobody here has seen. It is found, loaded and called in a process that is
given the question and the passphrase, and answers in time or is killed; only operations that need the key ever ask.
"""

from __future__ import annotations

from cryptlv.errors import HandlerUnavailable
from cryptlv.keys.handler import CipherParameters, KeystoreDraft, KeystoreRequest
from cryptlv.keys.registry import BUILT_IN
from cryptlv.keys.registry import find_handler as find_here
from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from cryptlv.environment import Environment
    from cryptlv.keys.handler import KeyHandler, KeystoreAttributes
    from cryptlv.record import Record
    from cryptlv.secret import Secret, VolumeKey

    Made = TypeVar("Made", bound=Record)

CHILD = "cryptlv.ops.handler_process"
QUICK_SECONDS = 15.0
"""How long a handler may take for what needs no key."""
KEY_SECONDS = 120.0
"""And for making or finding a key, which may take a derivation, or a server."""


def find_handler(name: str) -> KeyHandler:
    """The handler of that name; raises HandlerUnavailable, naming it, when there is none or it is broken."""
    return find_here(name) if name in BUILT_IN else OutsideHandler(name)


class OutsideHandler:
    """A handler of another package. Methods raise what such handlers may (`cryptlv.keys.handler.KeyHandler`), and
    HandlerUnavailable when it is not installed, broken, crashes or takes too long."""

    def __init__(self, name: str, quick_seconds: float = QUICK_SECONDS, key_seconds: float = KEY_SECONDS) -> None:
        self._quick, self._long = quick_seconds, key_seconds
        self.name = name
        told, _ = self._ask("describe", {})
        self.credential_kind = _text(name, told, "credential_kind")

    def draft(self, request: KeystoreRequest) -> KeystoreDraft:
        told, _ = self._ask("draft", {"request": as_tree(request)})
        request = _record(self.name, KeystoreRequest, told.get("request"))
        return _record(self.name, KeystoreDraft, told.get("draft"), request=request)

    def create(
        self, draft: KeystoreDraft, credential: Secret, env: Environment, uuid: str
    ) -> tuple[bytes, VolumeKey]:
        from cryptlv.secret import VolumeKey

        tree = as_tree(draft) | {"request": None}
        question = {"draft": tree, "request": as_tree(draft.request), "uuid": uuid, "command": env.command}
        _, (image, key) = self._ask("create", question, b"", credential, frames=2)
        return bytes(image), VolumeKey(key)

    def parameters(self, attributes: KeystoreAttributes, image: bytes) -> CipherParameters:
        told, _ = self._ask("parameters", {"attributes": as_tree(attributes)}, image)
        return _record(self.name, CipherParameters, told.get("parameters"))

    def unlock(self, attributes: KeystoreAttributes, image: bytes, credential: Secret) -> VolumeKey:
        from cryptlv.secret import VolumeKey

        _, (key,) = self._ask("unlock", {"attributes": as_tree(attributes)}, image, credential, frames=1)
        return VolumeKey(key)

    def _ask(
        self,
        method: str,
        question: dict[str, Any],
        image: bytes = b"",
        credential: Secret | None = None,
        frames: int = 0,
    ) -> tuple[dict[str, Any], list[bytearray]]:
        """What the handler answers: words, and so many frames of bytes behind them."""
        import json

        from cryptlv import errors
        from cryptlv.host.outside import ask_process

        head = json.dumps({"method": method, "handler": self.name, **question}).encode()
        limit = self._quick if credential is None else self._long
        try:
            if credential is None:
                answer = ask_process(CHILD, [head, image], limit)
            else:
                with credential.reveal() as view:
                    answer = ask_process(CHILD, [head, image, view], limit)
            told = json.loads(answer[0])
        except TimeoutError:
            raise self._broken(f"did not answer within {limit:g} s") from None
        except (EOFError, ValueError, IndexError):
            raise self._broken("ended without an answer") from None
        if not isinstance(told, dict):
            raise self._broken("does not answer the question")
        if "error" in told:
            kind = getattr(errors, str(told["error"]), None)
            message = printable(str(told.get("message", "")))[:1000]
            if isinstance(kind, type) and issubclass(kind, errors.CryptlvError):
                raise kind(message)
            raise self._broken(f"failed: {printable(str(told['error']))[:100]}")
        if len(answer) - 1 != frames:
            raise self._broken("does not answer the question")
        return told, answer[1:]

    def _broken(self, what: str) -> HandlerUnavailable:
        return HandlerUnavailable(f"key handler {printable(self.name)!r} {what}: see its package")


def as_tree(record: Record) -> dict[str, Any]:
    """A record of plain values, for JSON."""
    return {name: getattr(record, name) for name in type(record).__fields__}


def _text(handler: str, tree: dict[str, Any], name: str) -> str:
    value = tree.get(name)
    if not isinstance(value, str):
        raise HandlerUnavailable(f"key handler {printable(handler)!r} gives no {name}: see its package")
    return value


_KINDS = {"image_bytes": int, "key_size_bits": int, "handler": str, "cipher": str, "key_hash": str}
"""Of the fields that have no default."""


def _record(handler: str, cls: type[Made], tree: object, **given: object) -> Made:
    """A record from what a handler answered, every value of the kind that it has to be."""
    answered = tree if isinstance(tree, dict) else {}
    values: dict[str, object] = {}
    for name in cls.__fields__:
        value = given.get(name, answered.get(name))
        kind = type(cls.__defaults__[name]) if name in cls.__defaults__ else _KINDS.get(name, object)
        if kind is tuple:
            value = _tuples(value) if name != "mends" else ()  # other packages mend what is theirs
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise HandlerUnavailable(f"key handler {printable(handler)!r} gives a wrong {name}: see its package")
        values[name] = value
    return cls(**values)


def _tuples(value: object) -> tuple[object, ...] | None:
    """Pairs of a word and a value, or words, as JSON has them in lists; None for anything else."""
    items = (
        tuple(tuple(item) if isinstance(item, list) else item for item in value) if isinstance(value, list) else ()
    )
    return items if all(isinstance(item, str) or _is_pair(item) for item in items) else None


def _is_pair(item: object) -> bool:
    return (
        isinstance(item, tuple)
        and len(item) == 2
        and isinstance(item[0], str)
        and isinstance(item[1], str | int)
        and not isinstance(item[1], bool)
    )

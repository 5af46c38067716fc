"""Handlers by name: the built-in ones from a table, others from installed packages.

Another package declares its handlers as entry points of the group `cryptlv.key_handlers`; they are looked for only
when a keystore names a handler that is not built in, and one that is missing or broken stops nothing but the
activation of its own volumes.
"""

from __future__ import annotations

from importlib import import_module

from cryptlv.errors import HandlerUnavailable
from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.keys.handler import KeyHandler

ENTRY_POINT_GROUP = "cryptlv.key_handlers"
BUILT_IN = {
    "plain": "cryptlv.keys.plain:PlainHandler",
    "hashed": "cryptlv.keys.hashed:HashedHandler",
    "luks1": "cryptlv.keys.luks1:Luks1Handler",
    "luks2": "cryptlv.keys.luks2:Luks2Handler",
}


def find_handler(name: str) -> KeyHandler:
    """The handler of that name; raises HandlerUnavailable, naming it, when there is none or it is broken."""
    place = BUILT_IN.get(name)
    if place is None:
        return _find_installed(name)
    module, _, attribute = place.partition(":")
    handler: KeyHandler = getattr(import_module(module), attribute)()
    return handler


def _find_installed(name: str) -> KeyHandler:
    from importlib.metadata import entry_points

    shown = printable(name)
    known = ", ".join(BUILT_IN)
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            handler: KeyHandler = entry.load()()
            found = handler.name
        except Exception as error:
            raise HandlerUnavailable(
                f"key handler {shown!r} is broken: {type(error).__name__}; reinstall its package"
            ) from error
        if found != name:
            raise HandlerUnavailable(f"key handler {shown!r} calls itself {printable(str(found))!r}; it is not used")
        return handler
    raise HandlerUnavailable(f"key handler {shown!r} is not installed; built in are {known}")

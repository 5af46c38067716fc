"""The process in which a handler of another package answers one question (`ops/handlers.py` asks it)."""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

from cryptlv.errors import CryptlvError
from cryptlv.host.outside import receive_frames, send_frames
from cryptlv.host.system import make_environment
from cryptlv.keys.handler import KeystoreAttributes, KeystoreDraft, KeystoreRequest
from cryptlv.keys.registry import find_handler
from cryptlv.ops.handlers import as_tree
from cryptlv.secret import Passphrase, VolumeKey


def answer(question: dict[str, Any], image: bytes, credential: bytearray | None) -> tuple[dict[str, Any], list[Any]]:
    """The answer to one question: words for JSON, and what goes behind them as bytes (a VolumeKey or bytes)."""
    handler = find_handler(question["handler"])
    method = question["method"]
    if method == "describe":
        return {"credential_kind": handler.credential_kind}, []
    if method == "draft":
        draft = handler.draft(_record(KeystoreRequest, question["request"]))
        return {"draft": as_tree(draft) | {"request": None}, "request": as_tree(draft.request)}, []
    if method == "parameters":
        parameters = handler.parameters(_record(KeystoreAttributes, question["attributes"]), image)
        return {"parameters": as_tree(parameters) | {"mends": []}}, []
    with Passphrase(credential if credential is not None else b"") as secret:
        if method == "unlock":
            return {}, [handler.unlock(_record(KeystoreAttributes, question["attributes"]), image, secret)]
        request = _record(KeystoreRequest, question["request"])
        draft = _record(KeystoreDraft, question["draft"], request=request)
        made, key = handler.create(draft, secret, make_environment(question["command"]), question["uuid"])
        return {}, [made, key]


def _record(cls: Any, tree: dict[str, Any], **given: object) -> Any:
    values = tree | given
    if "extra" in values:
        values["extra"] = tuple(tuple(pair) for pair in values["extra"])
    return cls(**values)


def main() -> None:
    """Answer the question that comes over the descriptor in the command line."""
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        head, image, *rest = receive_frames(connection)
        try:
            told, parts = answer(json.loads(head), bytes(image), rest[0] if rest else None)
        except CryptlvError as error:
            told, parts = {"error": type(error).__name__, "message": str(error)}, []
        except Exception as error:  # theirs: by its kind only, as it may say anything
            told, parts = {"error": f"{type(error).__name__}", "message": ""}, []
        frames: list[bytes | bytearray] = [json.dumps(told).encode()]
        for part in parts:
            if isinstance(part, VolumeKey):
                with part, part.reveal() as view:
                    frames.append(bytearray(view))
            else:
                frames.append(part)
        try:
            send_frames(connection, frames)
        finally:
            for frame in frames:
                if isinstance(frame, bytearray):
                    frame[:] = bytes(len(frame))


if __name__ == "__main__":
    main()

"""What is asked, when, and what is done then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, NotFoundError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.host.locks import LockDirectory
from cryptlv.ops.consent import ask_nobody, raise_error, take_each
from support.disks import Disks

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.host.scan import World


def test_nobody_says_no_and_the_first_error_ends_it() -> None:
    with pytest.raises(RefusedError, match=r"Really\? Not done"):
        ask_nobody("Really?")
    with pytest.raises(NotFoundError):
        raise_error(NotFoundError("gone"))


def test_questions_are_asked_without_a_lock_and_what_was_agreed_to_is_looked_at_again(tmp_path: Path) -> None:
    asked: list[str] = []
    done: list[str] = []
    errors: list[CryptlvError] = []
    looks = 0
    paths = ("easy", "no", "changing", "bad")
    with Disks(tmp_path, {path: MemoryDevice(4096, path=path) for path in paths}).session() as session:

        def plan(_: World, path: str) -> tuple[str, tuple[str, ...]]:
            nonlocal looks
            looks += 1
            if path == "bad":
                raise NotFoundError(path)
            changed = "?" if path == "changing" and looks > 4 else ""
            return path.upper(), () if path == "easy" else (f"{path}{changed}?",)

        def ask(question: str) -> None:
            with LockDirectory(session.directories.lock_dir).global_(write=True, wait=False):
                asked.append(question)
            if question == "no?":
                raise RefusedError("Not done.")

        take_each(session, paths, plan, lambda plans: done.extend(plans.values()), ask, errors.append)
    assert asked == ["no?", "changing?", "changing??"]
    assert done == ["EASY", "CHANGING"]
    assert [str(error) for error in errors] == ["bad", "no is unchanged: Not done."]

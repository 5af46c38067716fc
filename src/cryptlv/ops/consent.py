"""Devices that are taken only when the user agrees, without a lock held while the user is asked.

Mirrors the way of lvm2's tools/toollib.c:pvcreate_each_device: what stands against one device does not stop the
others, and what was agreed to is looked at again under the lock.
"""

from __future__ import annotations

from cryptlv.errors import CryptlvError, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from cryptlv.host.scan import World
    from cryptlv.ops.session import Session

    Ask = Callable[[str], None]
    OnError = Callable[[CryptlvError], None]
    Plan = TypeVar("Plan")
    Result = TypeVar("Result")


def ask_nobody(question: str) -> None:
    """The answer of nobody: raises RefusedError."""
    raise RefusedError(f"{question} Not done: nobody was asked")


def raise_error(error: CryptlvError) -> None:
    """The first failure ends it all."""
    raise error


class UnansweredError(RefusedError):
    """What is wanted is done only when the user agrees; `questions` has what is to be asked."""

    def __init__(self, questions: tuple[str, ...]) -> None:
        super().__init__(f"{questions[0]} Not done: nobody was asked")
        self.questions = questions


def with_consent(act: Callable[[frozenset[str]], Result], ask: Ask) -> Result:
    """The result of `act`, which is given the questions that were answered with yes, and raises UnansweredError with
    others. These are asked when it has let go of its locks; `ask` raises RefusedError for a no."""
    agreed: frozenset[str] = frozenset()
    while True:
        try:
            return act(agreed)
        except UnansweredError as error:
            questions = error.questions
        for question in questions:
            ask(question)
        agreed = agreed.union(questions)


def take_each(
    session: Session,
    paths: tuple[str, ...],
    plan: Callable[[World, str], tuple[Plan, tuple[str, ...]]],
    act: Callable[[dict[str, Plan]], None],
    ask: Ask,
    on_error: OnError,
) -> None:
    """Plan for each device, ask what the plans ask, and act, under the global lock, on those that were agreed to.

    `plan` gives what is to be done and the questions that must be answered with yes, or raises; `ask` raises
    RefusedError for a no; `on_error` is given what stands against a device, which is left out then, or raises it.
    """
    left = list(paths)
    agreed: set[str] = set()
    while True:
        with session.locked(write=True, global_write=True):
            world = session.world(paths)
            plans: dict[str, Plan] = {}
            open_questions: dict[str, list[str]] = {}
            for path in tuple(left):
                try:
                    plans[path], questions = plan(world, path)
                    open_questions[path] = [question for question in questions if question not in agreed]
                except CryptlvError as error:
                    left.remove(path)
                    on_error(error)
            if not any(open_questions.values()):
                act(plans)
                return
        for path, asked in open_questions.items():
            try:
                for question in asked:
                    ask(question)
                    agreed.add(question)
            except RefusedError as error:
                left.remove(path)
                on_error(RefusedError(f"{path} is unchanged: {error}"))

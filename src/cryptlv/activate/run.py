"""Running the steps of a plan on a device-mapper, and undoing those that were done when one fails."""

from __future__ import annotations

import errno

from cryptlv.errors import CryptlvError, DeviceMapperError
from cryptlv.model.stack import (
    Clear,
    Create,
    Link,
    Load,
    Node,
    Release,
    Remove,
    Rename,
    Resume,
    Suspend,
    Unlink,
    resolved,
    undo_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from cryptlv.activate.dm import DeviceMapper
    from cryptlv.activate.dm_fake import FakeDeviceMapper
    from cryptlv.model.stack import Plan, Step
    from cryptlv.secret import Secret

    Kernel: TypeAlias = DeviceMapper | FakeDeviceMapper


def _nothing(_: str) -> None:
    """What happens before and after each step, but in tests."""


fault_point: Callable[[str], None] = _nothing
"""Is told `before STEP` and `after STEP`: for tests, where a process is killed there."""


class StackRun:
    """One plan being run. `numbers` has the number of each physical volume's device, `keys` the keys in digits by
    their words. The caller holds the volume group's lock."""

    def __init__(
        self, kernel: Kernel, plan: Plan, numbers: Mapping[str, str], keys: Mapping[str, Secret] | None = None
    ) -> None:
        self.plan = plan
        self._kernel = kernel
        self._numbers = dict(numbers)
        self._keys = dict(keys or {})
        self._done: list[Step] = []

    def prepare(self) -> None:
        """The steps that can be taken back without a trace; they are, when one fails: its error is raised."""
        self._run_or_undo(self.plan.prepare)

    def freeze(self) -> None:
        """The steps right before the metadata change. When one fails all is undone, and its error raised."""
        self._run_or_undo(self.plan.freeze)

    def finish(self) -> None:
        """The steps after the metadata change, of which as many as possible are done; raises the first error."""
        first: CryptlvError | None = None
        for step in self.plan.finish:
            try:
                self._do(step)
            except CryptlvError as error:
                first = first or error
        self._kernel.settle()
        if first is not None:
            raise first

    def whole(self) -> None:
        """All steps, or none: when one fails those before are undone, and its error raised."""
        self._run_or_undo(self.plan.steps)
        self._kernel.settle()

    def undo(self) -> None:
        """Undo what was done. Raises DeviceMapperError that says what is left when that fails."""
        left: list[str] = []
        for step in undo_of(self._done):
            try:
                self._do(step, notes=False)
            except CryptlvError as error:
                left.append(f"{step.shown} ({error})")
        self._done.clear()
        self._kernel.settle()
        if left:
            raise DeviceMapperError(f"not undone in the kernel: {'; '.join(left)}; see: dmsetup info")

    def _run_or_undo(self, steps: Sequence[Step]) -> None:
        try:
            for step in steps:
                self._do(step)
        except BaseException as error:
            try:
                self.undo()
            except CryptlvError as problem:
                raise DeviceMapperError(f"{error}; {problem}") from None
            raise

    def _do(self, step: Step, *, notes: bool = True) -> None:
        fault_point(f"before {step.shown}")
        self._perform(step)
        if notes:
            self._done.append(step)
        fault_point(f"after {step.shown}")

    def _perform(self, step: Step) -> None:
        kernel = self._kernel
        match step:
            case Create():
                kernel.create(step.name, step.uuid, step.minor)
                self._remember(step.name, step.lv_id)
            case Load():
                lines = tuple(resolved(line, self._numbers) for line in step.lines)
                kernel.load(step.name, lines, is_read_only=step.is_read_only, keys=self._keys)
            case Clear():
                kernel.clear(step.name)
            case Suspend():
                kernel.suspend(step.name)
            case Resume():
                kernel.resume(step.name, is_hidden=step.is_hidden, read_ahead=step.read_ahead)
            case Release():
                self._release(step.name)
            case Rename():
                kernel.rename(step.name, step.new)
            case Remove():
                kernel.remove(step.name)
            case Node():
                kernel.settle()
                kernel.see_to_node(step.name)
            case Link():
                kernel.settle()  # udevd makes it, where it runs
                kernel.link(*step.link, step.name)
            case Unlink():
                kernel.settle()
                kernel.unlink(*step.link)
            case _:
                raise TypeError(f"no such step: {step}")

    def _release(self, name: str) -> None:
        try:
            self._kernel.resume(name)
        except DeviceMapperError as error:
            if error.errno != errno.EAGAIN:  # frozen, with its key wiped: it stays so
                raise

    def _remember(self, name: str, lv_id: str) -> None:
        found = self._kernel.find(name=name)
        if found is not None and lv_id:
            self._numbers[lv_id] = found.number

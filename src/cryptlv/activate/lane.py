"""A second thread for a connection: it does one thing at a time, beside the first."""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Lane:
    """Does what it is given by one other thread, in order and one thing at a time, between `begin` and `close`.

    When something fails, `on_failure` is called there, so that the other thread does not wait for what never comes;
    the exception is raised again from whatever it asks for next.
    """

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._thread: threading.Thread | None = None
        self._given = threading.Lock()  # held while there is nothing to do
        self._free = threading.Lock()  # held while there is
        self._given.acquire()
        self._job: tuple[Callable[..., object], tuple[Any, ...]] | None = None
        self._failure: BaseException | None = None
        self.is_busy = False
        """Whether something may be going on, which only the other thread changes."""

    def begin(self) -> bool:
        """Start the thread, if it has not begun; False where the system has none left."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="nbd-lane", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def give(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have this done, when what was given before has been; raises what that raised."""
        self.wait()
        self._job = function, arguments
        self.is_busy = True
        self._free.acquire()
        self._given.release()

    def wait(self) -> None:
        """Return when everything is done; raises what it raised."""
        if self.is_busy:
            with self._free:
                self.is_busy = False
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Finish what is going on, and end the thread; raises what failed, once.

        Nothing that was given is kept: it may refer to who has this, and a command collects no garbage.
        """
        if self._thread is not None:
            with self._free:
                self._job = None
            self._given.release()
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # with its traceback it would hold this frame, and all that the connection has

    def _run(self) -> None:
        while True:
            self._given.acquire()
            if self._job is None:
                return
            function, arguments = self._job
            try:
                function(*arguments)
            except BaseException as failure:
                self._failure = failure
                self._on_failure()
            finally:
                self._free.release()

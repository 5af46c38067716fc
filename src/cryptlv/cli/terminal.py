"""What commands share: messages, questions, and the session that the common options ask for."""

from __future__ import annotations

import sys

from cryptlv.errors import RefusedError, UsageError
from cryptlv.names import printable
from cryptlv.ops.session import open_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments
    from cryptlv.ops.session import Session


class Terminal:
    """Where a command's words go; lvm2's look: two spaces, results on standard output, the rest on standard error."""

    def __init__(self, arguments: Arguments) -> None:
        self.quiet = arguments.count("quiet")
        self.verbose = arguments.count("verbose")
        self._yes = arguments.has("yes")
        self._force = arguments.count("force")

    def say(self, message: str) -> None:
        """A result; -q silences it."""
        if not self.quiet:
            print(f"  {printable(message)}")

    def give(self, text: str) -> None:
        """What the command was asked for, such as a path: printed though it be quiet."""
        print(f"  {text}")

    def warn(self, message: str) -> None:
        """A warning, on standard error."""
        sys.stdout.flush()
        print(f"  WARNING: {printable(message)}", file=sys.stderr)

    def detail(self, message: str) -> None:
        """Something that only -v shows."""
        if self.verbose:
            print(f"  {printable(message)}", file=sys.stderr)

    def error(self, message: str) -> None:
        """A failure that does not stop the command."""
        sys.stdout.flush()
        print(f"  {printable(message)}", file=sys.stderr)

    def confirm(self, question: str, *, forced: bool = True) -> None:
        """Ask; -y answers, and -f where `forced`. Raises RefusedError unless the answer is yes, or when nobody can be
        asked."""
        if self._yes or (forced and self._force):
            return
        if not sys.stdin.isatty():
            raise RefusedError(f"{question} Not done: nobody can be asked here; -y answers yes")
        sys.stdout.flush()
        while True:
            sys.stderr.write(f"{question} [y/n]: ")
            sys.stderr.flush()
            answer = sys.stdin.readline()
            if answer.strip().lower() in ("y", "yes"):
                return
            if not answer or answer.strip().lower() in ("n", "no"):
                raise RefusedError("Not done.")

    def ask(self, question: str) -> None:
        """Ask what -f does not answer; raises RefusedError unless the answer is yes."""
        self.confirm(question, forced=False)


_LONGEST_REASON = 1000


def _described(arguments: Arguments) -> str:
    """The command line as metadata keep it: `COMMAND LINE # TEXT`, TEXT being what --why says.

    Raises UsageError for a reason that is too long.
    """
    if not arguments.has("why"):
        return printable(arguments.line)
    import re

    reason = arguments.text("why")
    if len(reason) > _LONGEST_REASON:
        raise UsageError(f"--why takes up to {_LONGEST_REASON} characters, these are {len(reason)}")
    line = re.sub(rf" --w(?:hy?)?[ =]{re.escape(reason)}(?= |$)", "", f"{arguments.line}")
    return printable(f"{line} # {reason}" if reason else line)


def open_command(arguments: Arguments, terminal: Terminal) -> Session:
    """The session of a command, closed by the caller; raises UsageError."""
    import os

    devices = tuple(os.path.abspath(path) for value in arguments.all("devices") for path in value.split(",") if path)
    if arguments.has("devices") and not devices:
        raise UsageError("--devices needs at least one path")
    if arguments.has("test"):
        terminal.error("TEST MODE: nothing is written.")
    return open_session(
        devices=devices,
        test=arguments.has("test"),
        force=arguments.count("force"),
        autobackup=arguments.yes_no("autobackup"),
        takes_locks=not arguments.has("nolocking"),
        command_line=_described(arguments),
        warn=terminal.warn,
        inform=terminal.say,
    )


def no_words(arguments: Arguments) -> None:
    """Raise UsageError when there are words that are no options."""
    if arguments.words:
        raise UsageError(f"{arguments.command.name}: {arguments.words[0]!r} is not expected")


def split_target(word: str) -> tuple[str, str]:
    """`VG/LV` as its two names, `VG` as its name and ""; raises UsageError."""
    trimmed = word.removeprefix("/dev/")
    return split_lv(word) if "/" in trimmed else (trimmed, "")


def split_lv(word: str) -> tuple[str, str]:
    """`VG/LV`, also as a path under /dev, as its two names; raises UsageError."""
    trimmed = word.removeprefix("/dev/")
    vg_name, slash, lv_name = trimmed.partition("/")
    if not slash or not vg_name or not lv_name or "/" in lv_name:
        raise UsageError(f"{word!r} is not the name of a logical volume: write VG/LV")
    return vg_name, lv_name

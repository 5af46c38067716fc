"""`cryptlv COMMAND ...`: find the command, run it, and turn whatever happens into one line and an exit status."""

from __future__ import annotations

import gc
import os
import sys

from cryptlv import __version__
from cryptlv.cli.options import help_text, parse
from cryptlv.cli.table import COMMANDS, find_command
from cryptlv.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, CheckError, CryptlvError, UsageError
from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit status: 0 done, 3 usage, 5 failed, 130 interrupted."""
    if argv is None:
        gc.disable()  # the process is this one command: short, and without cycles to speak of
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _run(words)
        sys.stdout.flush()
    except CryptlvError as error:
        if "--debug" in words:
            raise
        return _report(error)
    except KeyboardInterrupt:
        _say("Interrupted.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, which is its own business
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())
        return EXIT_FAILED
    except MemoryError:
        _say("Out of memory.")
        return EXIT_FAILED
    except Exception as error:  # a bug: one line for the user, the traceback for who asks
        if "--debug" in words:
            raise
        _say(f"Internal error: {type(error).__name__}: {error} (run again with --debug and report it)")
        return EXIT_FAILED
    return status


def _run(words: list[str]) -> int:
    if not words:
        _overview(sys.stderr)
        return EXIT_USAGE
    name, rest = words[0], words[1:]
    if name == "--version":
        return _version()
    if name in ("help", "--help", "-h"):
        if rest:
            sys.stdout.write(help_text(find_command(rest[0])))
        else:
            _overview(sys.stdout)
        return 0
    if name.startswith("-"):
        raise UsageError(f"a command comes first, not {name!r}; see: cryptlv help")
    command = find_command(name)
    arguments = parse(command, rest, " ".join(words))
    if arguments.has("help") or arguments.has("longhelp"):
        sys.stdout.write(help_text(command))
        return 0
    if arguments.has("version"):
        return _version()
    return command.run(arguments)


def _version() -> int:
    sys.stdout.write(f"  cryptlv {__version__}\n")
    return 0


def _overview(stream: object) -> None:
    print("  Usage: cryptlv COMMAND [OPTION]... [ARGUMENT]...\n", file=stream)  # type: ignore[call-overload]
    for name in COMMANDS:
        print(f"    {name:<14} {find_command(name).summary}", file=stream)  # type: ignore[call-overload]
    print("\n  Use 'cryptlv help COMMAND' for more about one of them.", file=stream)  # type: ignore[call-overload]


def _report(error: CryptlvError) -> int:
    if isinstance(error, CheckError):
        for violation in error.violations:
            _say(violation)
    else:
        _say(str(error))
    return error.exit_code


def _say(message: str) -> None:
    try:
        sys.stdout.flush()
        sys.stderr.write(f"  {printable(message)}\n")
        sys.stderr.flush()
    except OSError:  # nobody listens; the exit status still tells
        return

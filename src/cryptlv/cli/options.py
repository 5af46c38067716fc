"""Declarations of commands and their options, and the parsing of command lines by getopt's rules, as in lvm2."""

from __future__ import annotations

import getopt

from cryptlv.errors import UsageError
from cryptlv.record import Record
from cryptlv.units import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Option(Record):
    """One option. `takes` is the word for its value in the help, "" for a switch."""

    long: str
    short: str = ""
    takes: str = ""
    help: str

    @property
    def shown(self) -> str:
        """As the help shows it: `-L|--size Size[m|UNIT]`."""
        names = "|".join([*([f"-{self.short}"] if self.short else []), f"--{self.long}"])
        return f"{names} {self.takes}".rstrip()


class Command(Record):
    """One command. `usage` has the lines after its name, `run` what it does and its exit status."""

    name: str
    summary: str
    usage: tuple[str, ...]
    options: tuple[Option, ...] = ()
    run: Callable[[Arguments], int]
    notes: str = ""

    @property
    def all_options(self) -> tuple[Option, ...]:
        """Its own options and the common ones, which lose a letter that the command uses for something else."""
        taken = {option.short for option in self.options}
        common = (option.replace(short="") if option.short in taken else option for option in COMMON_OPTIONS)
        return (*self.options, *common)


COMMON_OPTIONS = (
    Option(
        long="devices", takes="PATH[,PATH...]", help="Look at these devices only, not at those of the devices file."
    ),
    Option(long="test", short="t", help="Do everything but write: nothing is changed."),
    Option(long="yes", short="y", help="Answer every question with yes."),
    Option(long="force", short="f", help="Do what is refused otherwise; -ff overrides more."),
    Option(long="autobackup", short="A", takes="y|n", help="Keep metadata in backup and archive; as lvm.conf says."),
    Option(long="why", takes="TEXT", help="Why this is done: kept in the metadata's description and its archive."),
    Option(long="nolocking", help="Take no locks, as on a rescue system: nothing else may change the groups."),
    Option(long="verbose", short="v", help="Say more about what is done."),
    Option(long="quiet", short="q", help="Say less: errors and warnings only."),
    Option(long="debug", help="Show a traceback when something goes wrong."),
    Option(long="help", short="h", help="Show this help."),
    Option(long="longhelp", help="Show this help."),
    Option(long="version", help="Show the version."),
)


class Arguments:
    """A parsed command line: the values of each option by its long name, and the words that are no options."""

    def __init__(self, command: Command, values: dict[str, list[str]], words: tuple[str, ...], line: str) -> None:
        self.command = command
        self.words = words
        self.line = line
        self._values = values

    def count(self, name: str) -> int:
        """How often an option was given."""
        return len(self._values.get(name, ()))

    def has(self, name: str) -> bool:
        """Whether an option was given."""
        return name in self._values

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of an option."""
        return tuple(self._values.get(name, ()))

    def text(self, name: str, default: str = "") -> str:
        """The value of an option; raises UsageError when it was given twice with different values."""
        values = self._values.get(name)
        if not values:
            return default
        if any(value != values[0] for value in values):
            raise UsageError(f"--{name} is given more than once")
        return values[0]

    def size_bytes(self, name: str, default_unit: str = "m") -> int | None:
        """The value of an option as bytes, None when it was not given; raises UsageError."""
        return parse_size(self.text(name), default_unit) if name in self._values else None

    def number(self, name: str, default: int = 0) -> int:
        """The value of an option as a whole number that is not negative; raises UsageError."""
        text = self.text(name)
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise UsageError(f"--{name} needs a whole number, not {text!r}")
        return int(text)

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """The value of an option, one of `choices`; raises UsageError."""
        text = self.text(name, default)
        if text not in choices:
            raise UsageError(f"--{name} {text!r} is not one of {', '.join(choices)}")
        return text

    def yes_no(self, name: str) -> bool | None:
        """The value of a y|n option, None when it was not given; raises UsageError."""
        text = self.text(name).lower()
        if not text:
            return None
        if text not in ("y", "n", "yes", "no", "1", "0"):
            raise UsageError(f"--{name} needs y or n, not {text!r}")
        return text in ("y", "yes", "1")


def parse(command: Command, words: Sequence[str], line: str) -> Arguments:
    """Read the words after a command's name; options may stand anywhere before `--`. Raises UsageError."""
    by_name: dict[str, Option] = {}
    shorts, longs = "", []
    for option in command.all_options:
        by_name[f"--{option.long}"] = option
        longs.append(option.long + ("=" if option.takes else ""))
        if option.short:
            by_name[f"-{option.short}"] = option
            shorts += option.short + (":" if option.takes else "")
    try:
        found, rest = getopt.gnu_getopt(list(words), shorts, longs)
    except getopt.GetoptError as error:
        raise UsageError(f"{command.name}: {error}; see: cryptlv {command.name} --help") from None
    values: dict[str, list[str]] = {}
    for name, value in found:
        values.setdefault(by_name[name].long, []).append(value)
    return Arguments(command, values, tuple(rest), line)


def help_text(command: Command) -> str:
    """The whole help of a command."""
    lines = [f"  {command.name} - {command.summary}", ""]
    lines += [f"  {command.name} {usage}".rstrip() for usage in command.usage]
    common = command.all_options[len(command.options) :]
    for title, options in (("Options", command.options), ("Common options", common)):
        if options:
            lines += ["", f"  {title}:"]
            for option in options:
                lines += [f"    {option.shown}", f"        {option.help}"]
    if command.notes:
        lines += ["", *(f"  {line}".rstrip() for line in command.notes.strip().splitlines())]
    return "\n".join(lines) + "\n"

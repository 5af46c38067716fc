"""What lvchange does to the keys of encrypted volumes."""

from __future__ import annotations

from cryptlv.cli.activation import PBKDF_OPTIONS, credentials_of, derivation_of
from cryptlv.cli.options import Option
from cryptlv.cli.terminal import split_lv
from cryptlv.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cryptlv.cli.options import Arguments
    from cryptlv.cli.terminal import Terminal
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.session import Session

KEY_ACTIONS = ("addkey", "changekey", "removekey", "killkey", "backupkeystore", "restorekeystore")
KEY_OPTIONS = (
    Option(long="addkey", help="Put the volume's key under a further passphrase."),
    Option(long="changekey", help="Have another passphrase in place of one."),
    Option(long="removekey", help="Remove the keyslot that a passphrase opens."),
    Option(long="killkey", takes="N", help="Remove a keyslot by its number; asks, -y answers; the last with -ff."),
    Option(
        long="keyslot", takes="N", help="The keyslot that --addkey fills, or whose passphrase --changekey changes."
    ),
    Option(long="newkeyfile", takes="FILE|-", help="Take the new passphrase from a file, whole."),
    Option(long="backupkeystore", takes="FILE", help="Keep the key header in a new file."),
    Option(long="restorekeystore", takes="FILE", help="Put a key header back that was kept; asks, -y answers."),
    *PBKDF_OPTIONS,
)
_NEW_KEY = ("newkeyfile", *(option.long for option in PBKDF_OPTIONS))


def key_action(arguments: Arguments) -> str:
    """What is to be done to keys, "" for nothing; raises UsageError for words that do not go together."""
    given = [action for action in KEY_ACTIONS if arguments.has(action)]
    if len(given) > 1:
        raise UsageError(f"lvchange: --{given[0]} and --{given[1]} do not go together")
    action = given[0] if given else ""
    for option in ("keyslot", *_NEW_KEY):
        if arguments.has(option) and action not in ("addkey", "changekey"):
            raise UsageError(f"--{option} needs --addkey or --changekey")
    for option in ("select", "backend", "ignoreactivationskip"):
        if action and arguments.has(option):
            raise UsageError(f"lvchange: --{action} and --{option} do not go together")
    if action and len(arguments.words) != 1:
        raise UsageError(f"lvchange --{action}: name one encrypted volume, VG/LV")
    return action


def change_keys(session: Session, terminal: Terminal, arguments: Arguments, action: str) -> None:
    """Do it, and say what was done; raises what ops/keyslots.py raises."""
    from cryptlv.ops import keyslots

    vg_name, lv_name = split_lv(arguments.words[0])
    name = f"{vg_name}/{lv_name}"
    if action == "killkey":
        number = arguments.number("killkey")
        terminal.confirm(f"Really remove keyslot {number} of {name}?")
        keyslots.kill_key(session, vg_name, lv_name, number)
        terminal.say(f"Keyslot {number} of {name} removed.")
    elif action == "removekey":
        with credentials_of(arguments, session.warn) as credentials:
            number = keyslots.remove_key(session, vg_name, lv_name, credentials)
        terminal.say(f"Keyslot {number} of {name} removed.")
    elif action == "backupkeystore":
        path = arguments.text("backupkeystore")
        size = keyslots.backup_keystore(session, vg_name, lv_name, path)
        terminal.say(f"Key header of {name} kept in {path} ({size} bytes): whoever has it needs a passphrase only.")
    elif action == "restorekeystore":
        terminal.confirm(f"Really replace the key header of {name}? Passphrases of now are those of then afterwards.")
        keyslots.restore_keystore(session, vg_name, lv_name, arguments.text("restorekeystore"))
        terminal.say(f"Key header of {name} restored.")
    else:
        _with_new_key(session, terminal, arguments, action)


def _with_new_key(session: Session, terminal: Terminal, arguments: Arguments, action: str) -> None:
    from cryptlv.ops import keyslots

    vg_name, lv_name = split_lv(arguments.words[0])
    name = f"{vg_name}/{lv_name}"
    number = arguments.number("keyslot") if arguments.has("keyslot") else None
    request = derivation_of(arguments)
    with credentials_of(arguments, session.warn) as old, _new_credentials(session, arguments) as new:
        if action == "addkey":
            place = keyslots.add_key(session, vg_name, lv_name, old, new, number=number, request=request)
            terminal.say(f"Keyslot {place} of {name} added.")
        else:
            gone, place = keyslots.change_key(session, vg_name, lv_name, old, new, number=number, request=request)
            terminal.say(f"Keyslot {gone} of {name} replaced by keyslot {place}.")


def _new_credentials(session: Session, arguments: Arguments) -> AbstractContextManager[Credentials]:
    from cryptlv.ops.credentials import credential_source

    path = arguments.text("newkeyfile") if arguments.has("newkeyfile") else None
    if path == "-" and arguments.text("keyfile") == "-":
        raise UsageError("--keyfile and --newkeyfile cannot both be standard input")
    return credential_source(path, session.warn)

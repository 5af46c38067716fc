"""The exception tree.  Each class carries the exit status that lvm2 gives for that kind of failure (tools/errors.h).

CryptlvError                 exit 5, one line: what, where and what to do
  UsageError                 exit 3, the command line cannot be understood
  FormatError                bytes on a disk that are not what the format says
  DeviceError                a device that cannot be opened, read, written or flushed
  CheckError                 a volume group that breaks a rule; carries every violation
  NotFoundError, ExistsError, InUseError, NoSpaceError, RefusedError
  LockError                  somebody else holds the lock
  CommitError                metadata could not be written; says whether the old or the new is in force
  CipherError                a cipher, mode, IV or hash that is unknown or cannot be had
  KeystoreError              a key header that is damaged or of another kind
  CredentialError            no key could be had from the user
    NobodyToAskError         as there is neither a terminal nor a key file for it
  KeyringError               the kernel's keyring is not there, or full
  ActivationError            a volume that could not be served
    DeviceMapperError        the kernel's device-mapper did not do what it was asked
  FilesystemError            a program that resizes file systems failed
Signals, not errors in themselves: the caller tries the next way.
  WrongCredential            this credential does not open this keystore
  HandlerUnavailable         no handler of that name, or it is broken
"""

from __future__ import annotations

EXIT_USAGE = 3
EXIT_FAILED = 5
EXIT_INTERRUPTED = 130


class CryptlvError(Exception):
    """Something went wrong that the user must know; `str` is one line for them."""

    exit_code = EXIT_FAILED


class UsageError(CryptlvError):
    """The command line is wrong."""

    exit_code = EXIT_USAGE


class FormatError(CryptlvError):
    """Bytes that do not follow their format.

    `device` is the path or name of where they lie ("" when not known yet), `offset_bytes` their place there (None
    when it has none) and `field` the name of what is wrong. In a text whose places are not known yet, `keys` has the
    names of the sections that lead to the field.
    """

    def __init__(
        self,
        message: str,
        *,
        device: str = "",
        offset_bytes: int | None = None,
        field: str = "",
        keys: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.device = device
        self.offset_bytes = offset_bytes
        self.field = field
        self.keys = keys

    def at(self, device: str, offset_bytes: int | None = None) -> FormatError:
        """The same error with its device (and place) named, for the layer that knows them."""
        place = self.offset_bytes if offset_bytes is None else offset_bytes
        return type(self)(
            self.message, device=self.device or device, offset_bytes=place, field=self.field, keys=self.keys
        )

    def __str__(self) -> str:
        where = self.device
        if self.offset_bytes is not None:
            where = f"{where} at byte {self.offset_bytes}".strip()
        parts = [where, self.field, self.message]
        return ": ".join(part for part in parts if part)


class DeviceError(CryptlvError):
    """A device failed; `errno` is the system's number or 0."""

    def __init__(self, message: str, *, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class CheckError(CryptlvError):
    """A volume group breaks rules; `violations` has one line for each."""

    def __init__(self, violations: tuple[str, ...]) -> None:
        super().__init__("; ".join(violations))
        self.violations = violations


class NotFoundError(CryptlvError):
    """A device, volume group or logical volume that is not there."""


class ExistsError(CryptlvError):
    """A name that is taken."""


class InUseError(CryptlvError):
    """A device or volume that somebody uses."""


class NoSpaceError(CryptlvError):
    """Not enough free extents, or no room in a metadata area."""


class RefusedError(CryptlvError):
    """An operation that would be unsafe, or that is not for this kind of object."""


class LockError(CryptlvError):
    """A lock that cannot be had."""


class CommitError(CryptlvError):
    """Metadata could not be written; `outcome` is "reverted" (old in force) or "uncertain"."""

    def __init__(self, message: str, *, outcome: str) -> None:
        super().__init__(message)
        self.outcome = outcome


class CipherError(CryptlvError):
    """A cipher specification, hash or key length that cannot be used."""


class KeystoreError(CryptlvError):
    """A keystore's bytes are damaged, or of another kind than its metadata says."""


class CredentialError(CryptlvError):
    """The user gave no usable credential."""


class KeyringError(CryptlvError):
    """The kernel's keyring is not there, full, or does not do what is asked; `errno` is the system's number or 0."""

    def __init__(self, message: str, *, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class NobodyToAskError(CredentialError):
    """A key is needed, and there is neither a person nor a key file to give it."""


class ActivationError(CryptlvError):
    """A volume could not be activated or deactivated."""


class DeviceMapperError(ActivationError):
    """The kernel's device-mapper refused something; `errno` is the system's number or 0."""

    def __init__(self, message: str, *, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class FilesystemError(CryptlvError):
    """A file system could not be checked or resized; it has its old size."""


class WrongCredential(CryptlvError):  # noqa: N818 - a signal: not mine, try the next
    """This credential does not open this keystore."""


class HandlerUnavailable(CryptlvError):  # noqa: N818 - a signal: metadata work goes on without it
    """No key handler of that name can be had."""

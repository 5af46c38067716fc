"""What stock lvm2's configuration says that this program must honour (lvm.conf, lvmlocal.conf).

The host's system ID (lib/commands/toolcontext.c:_init_system_id), where locks lie and whether they are waited for,
whether hints are kept, the devices file's name, how extents are aligned, which backups and archives of metadata are
kept (_init_backup), and which volumes are activated (lib/activate/activate.c:_lv_passes_volumes_filter).
Within a file and from lvm.conf to lvmlocal.conf, the last value of a setting counts. Profiles, files of host tags
(`lvm_TAG.conf`) and --config are not looked at.
"""

from __future__ import annotations

import os

from cryptlv.errors import DeviceError, FormatError
from cryptlv.model.nodes import Section
from cryptlv.ondisk.config import parse_config
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptlv.model.nodes import Value

STOCK_SYSTEM_DIR = "/etc/lvm"
SYSTEM_DEVICES = "system.devices"
RETAIN_MIN = 10
RETAIN_DAYS = 30
_MAX_SYSTEM_ID = 128
_LVM_APPLICATION = "f64406832c2140e8ac5422d1089aae03"
_SECTIONS = ("global", "local", "devices", "backup", "activation")
_TRUE = ("y", "yes", "on", "true")


class HostSettings(Record):
    """Settings of this host; the defaults are stock's own. Directories are "" when the configuration has none.

    `backup` and `archive` say whether metadata are kept after and before a change; an archive file is dropped when it
    is older than `retain_days` and there are more than `retain_min`. The extents of a new physical volume are aligned
    to `data_alignment_mib`, or to what its device likes where that is to be asked.

    `volume_list` has the volumes that may be activated, `auto_activation_volume_list` those that may be at boot (VG,
    VG/LV or @TAG; None: all); `event_activation` is whether events activate any.

    `warnings` has a line for each thing in the configuration that an administrator should know.
    """

    system_id: str = ""
    extra_system_ids: tuple[str, ...] = ()
    locking_dir: str = ""
    waits_for_locks: bool = True
    uses_hints: bool = True
    devices_file_name: str = SYSTEM_DEVICES
    backup: bool = True
    archive: bool = True
    backup_dir: str = ""
    archive_dir: str = ""
    retain_min: int = RETAIN_MIN
    retain_days: int = RETAIN_DAYS
    data_alignment_mib: int = 1
    detects_alignment: bool = True
    detects_alignment_offset: bool = True
    volume_list: tuple[str, ...] | None = None
    auto_activation_volume_list: tuple[str, ...] | None = None
    event_activation: bool = True
    warnings: tuple[str, ...] = ()

    def allows(self, system_id: str | None) -> bool:
        """Whether a volume group of that system ID is this host's (lib/metadata/metadata.c:is_system_id_allowed).

        One without a system ID is everybody's; extra IDs count only for a host that has an ID.
        """
        if not system_id or system_id == self.system_id:
            return True
        return bool(self.system_id) and system_id in self.extra_system_ids


def configuration_directory(environ: Mapping[str, str]) -> str:
    """Where lvm.conf lies: LVM_SYSTEM_DIR as for stock ("" is nowhere), else CRYPTLV_SYSTEM_DIR, else /etc/lvm."""
    named = environ.get("LVM_SYSTEM_DIR")
    if named is None:
        named = environ.get("CRYPTLV_SYSTEM_DIR") or STOCK_SYSTEM_DIR
    return os.path.abspath(named) if named else ""


def observe_settings(directory: str, hostname: str) -> HostSettings:
    """The settings in a directory's files, the defaults where there are none.

    Raises FormatError for a file that is no configuration, as stock runs no command then.
    """
    settings: dict[str, Value] = {}
    for name in ("lvm.conf", "lvmlocal.conf") if directory else ():
        _gather(os.path.join(directory, name), settings)
    warnings: list[str] = []
    return HostSettings(
        system_id=_system_id(settings, hostname, warnings),
        extra_system_ids=_words(settings, "local/extra_system_ids") or (),
        locking_dir=_text(settings, "global/locking_dir"),
        waits_for_locks=_flag(settings, "global/wait_for_locks"),
        uses_hints=_text(settings, "devices/hints", "all") != "none",
        devices_file_name=_text(settings, "devices/devicesfile") or SYSTEM_DEVICES,
        backup=_flag(settings, "backup/backup"),
        archive=_flag(settings, "backup/archive"),
        backup_dir=_text(settings, "backup/backup_dir"),
        archive_dir=_text(settings, "backup/archive_dir"),
        retain_min=_number(settings, "backup/retain_min", RETAIN_MIN),
        retain_days=_number(settings, "backup/retain_days", RETAIN_DAYS),
        data_alignment_mib=_number(settings, "devices/default_data_alignment", 1) or 1,
        detects_alignment=_flag(settings, "devices/data_alignment_detection"),
        detects_alignment_offset=_flag(settings, "devices/data_alignment_offset_detection"),
        volume_list=_words(settings, "activation/volume_list"),
        auto_activation_volume_list=_words(settings, "activation/auto_activation_volume_list"),
        event_activation=_flag(settings, "global/event_activation"),
        warnings=tuple(warnings),
    )


def _gather(path: str, settings: dict[str, Value]) -> None:
    """Enter a file's settings as `section/name`; a file that is not there, or not ours to read, has none."""
    try:
        with open(path, "rb") as file:
            root = parse_config(file.read())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    except OSError as error:
        raise DeviceError(f"{path}: cannot read: {error.strerror}", errno=error.errno or 0) from None
    except FormatError as error:
        raise error.at(path) from None
    for section, value in root.items:
        if section in _SECTIONS and isinstance(value, Section):
            settings.update({f"{section}/{name}": inner for name, inner in value.items})


def _text(settings: Mapping[str, Value], name: str, default: str = "") -> str:
    value = settings.get(name, default)
    return value if isinstance(value, str) else default


def _words(settings: Mapping[str, Value], name: str) -> tuple[str, ...] | None:
    """A list of words, which may be written as one of them; None when it is not there."""
    value = settings.get(name)
    if value is None:
        return None
    return tuple(str(word) for word in value) if isinstance(value, tuple) else (str(value),)


def _flag(settings: Mapping[str, Value], name: str) -> bool:
    """A setting that is on by default; numbers and words as stock takes them (libdm-config.c:_str_to_bool)."""
    value = settings.get(name, 1)
    return value.lower() in _TRUE if isinstance(value, str) else bool(value)


def _number(settings: Mapping[str, Value], name: str, default: int) -> int:
    value = settings.get(name, default)
    return max(value, 0) if isinstance(value, int) else default


def _system_id(settings: Mapping[str, Value], hostname: str, warnings: list[str]) -> str:
    """The host's system ID, "" when it has none."""
    source = _text(settings, "global/system_id_source", "none") or "none"
    local = _text(settings, "local/system_id")
    if local and source != "lvmlocal":
        warnings.append(f'local/system_id is set but not used: global/system_id_source is "{source}", not "lvmlocal"')
    if source == "none":
        return ""
    found = clean_system_id(_raw_system_id(source.lower(), settings, local, hostname, warnings))
    if found.startswith("localhost"):
        warnings.append(f'the system ID {found} is not used: it may not begin with "localhost"')
        found = ""
    if not found:
        warnings.append(f'no system ID found from global/system_id_source "{source}"')
    return found


def _raw_system_id(source: str, settings: Mapping[str, Value], local: str, hostname: str, warnings: list[str]) -> str:
    machine_id = os.path.join(_text(settings, "global/etc", "/etc"), "machine-id")
    if source == "uname":
        return hostname
    if source == "lvmlocal":
        return local
    if source in ("machineid", "machine-id"):
        return _first_line(machine_id, warnings)
    if source == "appmachineid":
        return _application_id(_first_line("/etc/machine-id", warnings))
    if source == "file":
        path = _text(settings, "global/system_id_file")
        return _first_line(path, warnings) if path else ""
    warnings.append(f'global/system_id_source "{source}" is not known')
    return ""


def _first_line(path: str, warnings: list[str]) -> str:
    """A file's first line that says something, without its comment."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.partition("#")[0].strip() for line in file]
    except OSError as error:
        warnings.append(f"{path}: cannot read: {error.strerror}")
        return ""
    said = [line for line in lines if line]
    if len(said) > 1:
        warnings.append(f"{path}: only the first line counts as system ID")
    return said[0] if said else ""


def _application_id(machine_id: str) -> str:
    """systemd's machine ID for the application lvm2 (sd_id128_get_machine_app_specific), as a version 4 UUID."""
    import hmac
    import uuid

    try:
        key = bytes.fromhex(machine_id)
    except ValueError:
        return ""
    digest = hmac.digest(key, bytes.fromhex(_LVM_APPLICATION), "sha256")[:16]
    return uuid.UUID(bytes=digest, version=4).hex if key else ""


def clean_system_id(text: str) -> str:
    """The characters that stock keeps of a system ID (lib/misc/lvm-string.c:copy_systemid_chars)."""
    start = next((place for place, c in enumerate(text) if c.isascii() and c.isalnum()), len(text))
    return "".join(c for c in text[start:] if c.isascii() and (c.isalnum() or c in "._-+"))[:_MAX_SYSTEM_ID]

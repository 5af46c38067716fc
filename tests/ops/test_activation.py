"""Activation: keystores unlocked once each, one failure stops nothing else, nothing left behind (rows S9, S25)."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptlv.errors import WrongCredential
from cryptlv.ops.activation import KeyRing, KeystoreView, key_file_names, view_of
from cryptlv.ops.keystore import read_image
from cryptlv.secret import Passphrase
from support.disks import PASSPHRASE, Known, make_disks
from support.machine import FAST, Machine


class Counted(Known):
    """Gives each of its answers in turn, and counts."""

    def __init__(self, *answers: bytes, may_retry: bool = True) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked = 0
        self.may_retry = may_retry
        self.cache_seconds = 0

    def get(self, purpose: str, what: str, kind: str, names: tuple[str, ...] = ()) -> Passphrase:
        self.asked += 1
        return Passphrase(self.answers.pop(0))


@pytest.fixture
def view(tmp_path: Path) -> KeystoreView:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        group = session.world().group("vg0")
        image = read_image(session, group.vg, "cryptostore1", group.pv_paths)
    return view_of(group.vg, "cryptostore1", image)


def test_a_keystore_is_unlocked_once_for_all_its_volumes(view: KeystoreView) -> None:
    user = Counted(PASSPHRASE)
    with KeyRing(user, lambda _: None) as keys:
        first = keys.unlock("vg0", "cryptostore1", view, "a")
        assert keys.unlock("vg0", "cryptostore1", view, "b") is first
    assert user.asked == 1
    with pytest.raises(ValueError, match="closed"), first.reveal():
        pass


def test_three_tries_on_a_terminal_and_one_elsewhere(view: KeystoreView) -> None:
    said: list[str] = []
    user = Counted(b"a", b"b", PASSPHRASE)
    with KeyRing(user, said.append) as keys:
        keys.unlock("vg0", "cryptostore1", view, "a")
    assert [line.rpartition("; ")[2] for line in said] == ["2 tries left", "1 try left"]
    for user in (Counted(b"a", b"b", b"c", PASSPHRASE), Counted(b"a", PASSPHRASE, may_retry=False)):
        with KeyRing(user, lambda _: None) as keys:
            for _ in range(2):
                with pytest.raises(WrongCredential):
                    keys.unlock("vg0", "cryptostore1", view, "a")
        assert user.asked == (3 if user.may_retry else 1), "a keystore that failed is not asked for again"


def test_one_bad_key_does_not_stop_the_others_and_the_status_says_so(vg0: Machine) -> None:
    for name, line in (("a", b"one\n"), ("b", b"two\n"), ("c", b"one\n")):
        vg0.run("lvcreate", "--type", "crypt", *FAST, "-l1", f"-n{name}", "vg0", given=line)
    vg0.run("lvcreate", "-l1", "-nplainly", "vg0")
    key = vg0.key_file("key", b"one")
    result = vg0.run("vgchange", "-ay", "--keyfile", key, "vg0", expect=5)
    paths = [Path(line).name for line in result.lines[:-1]]
    assert paths == ["a", "c", "plainly"]
    assert result.lines[-1] == '3 logical volume(s) in volume group "vg0" now active'
    assert "vg0/b" in result.err
    attrs = dict(line.split() for line in vg0.run("lvs", "--noheadings", "-o", "lv_name,lv_attr").lines)
    assert {name: attr[4] for name, attr in attrs.items()} == {"a": "a", "b": "-", "c": "a", "plainly": "a"}
    assert vg0.run("vgchange", "-an", "vg0").lines == ['0 logical volume(s) in volume group "vg0" now active']
    assert not vg0.server_pids()
    assert vg0.run("vgchange", "-an", "vg0").lines == ['0 logical volume(s) in volume group "vg0" now active']


def test_a_second_activation_says_so_and_gives_the_path_again(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l1", "-nx", "vg0")
    first = vg0.run("lvchange", "-ay", "vg0/x")
    second = vg0.run("lvchange", "-ay", "vg0/x")
    assert second.out == first.out
    assert "vg0/x" in second.err
    assert "active already" in second.err


def test_a_volume_in_use_is_not_deactivated_unless_forced(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l1", "-nx", "vg0")
    path = Path(vg0.run("lvchange", "-ay", "--backend", "fuse", "vg0/x").lines[0])
    with path.open("rb"):
        assert "in use" in vg0.fail("lvchange", "-an", "vg0/x")
        assert path.exists()
        vg0.run("lvchange", "-an", "-f", "vg0/x")
    assert not path.exists()
    assert not vg0.server_pids()


def test_an_unknown_handler_stops_its_volume_only(vg0: Machine) -> None:
    """Row S12: metadata work goes on without the handler; only the activation fails, naming it."""
    vg0.run("lvcreate", "-l1", "-nx", "vg0")
    vg0.run("lvcreate", "--type", "crypt", "--handler", "plain", "-l1", "-nsecret", "vg0", given=b"0" * 128 + b"\n")
    for name in ("a.img", "b.img"):
        _rename_handler(vg0.folder / name)
    assert vg0.run("lvs", "-a", "--noheadings", "-o", "lv_name,crypt_handler").lines == [
        "[cryptostore1] acmee", "secret         acmee", "x",
    ]  # fmt: skip
    assert "acmee" in vg0.fail("lvchange", "-ay", "vg0/secret", given=b"x\n")
    vg0.run("lvchange", "-ay", "vg0/x")
    vg0.run("lvchange", "-an", "vg0/x")
    vg0.run("lvcreate", "-l1", "-ny", "vg0")
    vg0.run("lvrename", "vg0", "secret", "hidden")
    vg0.run("lvextend", "-l+2", "vg0/hidden")
    vg0.run("vgcfgbackup", "-f", "kept", "vg0")
    attributes = "crypt_store,crypt_handler,crypt_cipher,crypt_keysize,lv_size"
    assert vg0.run("lvs", "--noheadings", "--separator", "|", "-o", attributes, "vg0/hidden").lines == [
        "[cryptostore1]|acmee|aes-xts-plain64|512|12.00m"
    ]
    assert 'handler = "acmee"' in (vg0.folder / "kept").read_text()
    vg0.run("lvremove", "-y", "vg0/hidden")
    assert vg0.run("lvs", "-a", "--noheadings", "-o", "lv_name").lines == ["x", "y"]


def _rename_handler(path: Path) -> None:
    """Give the committed text another handler of the same length, with its checksum."""
    import struct
    import zlib

    data = bytearray(path.read_bytes())
    offset, size, _, _ = struct.unpack_from("<QQII", data, 4096 + 40)
    start = 4096 + offset
    text = data[start : start + size].replace(b'handler = "plain"', b'handler = "acmee"')
    data[start : start + size] = text
    struct.pack_into("<I", data, 4096 + 40 + 16, zlib.crc32(text, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF)
    header = data[4100 : 4096 + 512]
    struct.pack_into("<I", data, 4096, zlib.crc32(header, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF)
    path.write_bytes(data)


@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_copy_of_a_luks2_header_is_told_and_written_anew(vg0: Machine, which: int) -> None:
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l1", "-nsecret", "vg0", given=b"word\n")
    image = vg0.folder / "a.img"
    place = image.read_bytes().index((b"LUKS\xba\xbe", b"SKUL\xba\xbe")[which])
    with image.open("r+b") as file:
        file.seek(place + 5000)
        file.write(b"\xff")
    told = vg0.run("lvchange", "-ay", "vg0/secret", given=b"word\n").err
    assert f"{('first', 'second')[which]} copy: checksum is wrong" in told
    assert "written anew" in told
    vg0.run("lvchange", "-an", "vg0/secret")
    told = vg0.run("lvchange", "-ay", "vg0/secret", given=b"word\n").err
    assert "WARNING" not in told
    vg0.run("lvchange", "-an", "vg0/secret")
    data = image.read_bytes()
    first, second = data.index(b"LUKS\xba\xbe"), data.index(b"SKUL\xba\xbe")
    assert data[first + 4096 : second] == data[second + 4096 : second + (second - first)]


def test_nothing_is_written_anew_in_a_test_or_with_a_wrong_passphrase(vg0: Machine) -> None:
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l1", "-nsecret", "vg0", given=b"word\n")
    image = vg0.folder / "a.img"
    place = image.read_bytes().index(b"SKUL\xba\xbe")
    with image.open("r+b") as file:
        file.seek(place)
        file.write(bytes(6))
    before = image.read_bytes()
    vg0.run("lvchange", "-ay", "-t", "vg0/secret")
    assert "no keyslot opens" in vg0.fail("lvchange", "-ay", "vg0/secret", given=b"other\n")
    assert image.read_bytes() == before


def test_a_key_file_is_named_by_the_id_or_by_a_name_that_leads_nowhere_else() -> None:
    lv_id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
    assert key_file_names("vg0", "cryptostore1", lv_id) == (lv_id, "vg0/cryptostore1")
    assert key_file_names("..", "cryptostore1", lv_id) == (lv_id,)
    assert key_file_names("vg0", "../../etc/shadow", lv_id) == (lv_id,)


@pytest.fixture
def boot(vg0: Machine) -> Machine:
    """A group with a plain volume and two encrypted ones of different passphrases."""
    for name in ("one", "two"):
        vg0.run("lvcreate", "--type", "crypt", *FAST, "-l1", f"-n{name}", "vg0", given=f"{name}\n".encode())
    vg0.run("lvcreate", "-l1", "-nplainly", "vg0")
    return vg0


def active(machine: Machine) -> list[str]:
    """The names of the active volumes."""
    rows = machine.run("lvs", "--noheadings", "-o", "lv_name,lv_attr", "vg0").lines
    return [name for name, attr in (row.split() for row in rows) if attr[4] == "a"]


def test_at_boot_a_volume_that_needs_a_person_is_skipped_with_a_warning(boot: Machine) -> None:
    """Nobody is there at boot, and what happens to be on standard input is not meant."""
    result = boot.run("vgchange", "-aay", "vg0", given=b"one\n")
    assert active(boot) == ["plainly"]
    why = "its passphrase is needed, and there is no terminal to ask on (see --keyfile)"
    assert result.err.splitlines() == [f"  WARNING: vg0/{name} is skipped: {why}" for name in ("one", "two")]
    assert boot.run("vgchange", "-aay", "vg0").err == result.err, "what is active is nothing to speak of at boot"
    assert "standard input" in boot.fail("lvchange", "-ay", "vg0/one")
    boot.run("lvchange", "-aay", "--keyfile", boot.key_file("key", b"one"), "vg0/one")
    assert active(boot) == ["one", "plainly"]


def test_a_directory_has_the_keys_of_several_stores(boot: Machine) -> None:
    """By the name of a store or by its id; a store without a file is skipped at boot, and a failure else."""
    uuids = dict(row.split() for row in boot.run("lvs", "-a", "--noheadings", "-o", "lv_name,lv_uuid").lines)
    (boot.folder / "keys" / "vg0").mkdir(parents=True)
    boot.key_file("keys/vg0/cryptostore1", b"one")
    result = boot.run("vgchange", "-aay", "--keyfile", "keys", "vg0")
    assert active(boot) == ["one", "plainly"]
    uuid = uuids["[cryptostore2]"]
    why = f"its passphrase is needed, and the key directory keys has no file {uuid} or vg0/cryptostore2"
    assert result.err == f"  WARNING: vg0/two is skipped: {why}\n"
    assert boot.fail("lvchange", "-ay", "--keyfile", "keys", "vg0/two") == f"vg0/two: {why}"
    boot.key_file(f"keys/{uuid}", b"two")
    boot.key_file("keys/vg0/cryptostore2", b"not looked at")
    assert boot.run("vgchange", "-aay", "--keyfile", "keys/", "vg0").err == ""
    assert active(boot) == ["one", "plainly", "two"]
    boot.run("vgchange", "-an", "vg0")
    boot.key_file(f"keys/{uuid}", b"wrong")
    assert "vg0/two" in boot.run("vgchange", "-aay", "--keyfile", "keys", "vg0", expect=5).err


def test_an_event_activates_a_group_when_it_is_complete(boot: Machine) -> None:
    event = ("vgchange", "-aay", "--autoactivation", "event", "vg0")
    (boot.folder / "b.img").rename(boot.folder / "b.away")
    assert active(boot) == []
    none = '0 logical volume(s) in volume group "vg0" now active'
    assert boot.run(*event).lines == ["Volume group vg0 is not complete yet.", none]
    (boot.folder / "b.away").rename(boot.folder / "b.img")
    (boot.folder / "system" / "lvm.conf").write_text("global/event_activation = 0\n")
    assert boot.run(*event).lines == ["Nothing is activated by events (global/event_activation).", none]
    (boot.folder / "system" / "lvm.conf").unlink()
    boot.run(*event)
    assert active(boot) == ["plainly"]


def test_the_hosts_lists_say_what_is_activated(boot: Machine) -> None:
    conf = boot.folder / "system" / "lvm.conf"
    conf.write_text("activation/auto_activation_volume_list = [ ]\n")
    boot.run("vgchange", "-aay", "vg0")
    assert active(boot) == []
    conf.write_text('activation/volume_list = [ "vg0/one" ]\n')
    boot.run("vgchange", "-ay", "vg0", given=b"one\n")
    assert active(boot) == ["one"]

"""Keyslots changed by stock cryptsetup and by ours, in turn, on one image: each reads what the other has left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.errors import CryptlvError
from cryptlv.host.system import make_environment
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.keys.keyslots import find_keyslots
from cryptlv.keys.registry import find_handler
from cryptlv.secret import Passphrase
from support.machine import Machine, need

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.compat

KINDS = ("luks1", "luks2")
ENV = make_environment("test")
CHEAP = KeystoreRequest(pbkdf="pbkdf2", force_iterations=1000)
COST = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
KEYS = {"a": b"first", "b": b"two\nlines\n", "c": b"\x00\xff\xfe nul", "d": b"p" * 600}
"""Key files: words, newlines, bytes that are no text, and more than a line may have."""


class Image:
    """A header in a file, and both programs on it; keys are called by the names of their files."""

    def __init__(self, machine: Machine, kind: str) -> None:
        need("cryptsetup")
        self.machine, self.kind = machine, kind
        self.attributes, self.slots = KeystoreAttributes(handler=kind), find_keyslots(kind)
        for name, data in KEYS.items():
            machine.key_file(name, data)
        handler = find_handler(kind)
        draft = handler.draft(CHEAP.replace(key_size_bits=256))
        image, self.key = handler.create(draft, Passphrase(KEYS["a"]), ENV, "00000000-0000-4000-8000-000000000000")
        self.path = machine.folder / "header"
        self.path.write_bytes(image)

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    def stock(self, action: str, *words: str, expect: int | None = 0) -> str:
        cost = COST if action in ("luksAddKey", "luksChangeKey") else ()
        return self.machine.tool("cryptsetup", action, "-q", *cost, *words, expect=expect).out

    def stock_opens(self) -> set[str]:
        words = ("cryptsetup", "open", "--test-passphrase", "header", "--key-file")
        return {name for name in KEYS if self.machine.tool(*words, name, expect=None).status == 0}

    def our_opens(self) -> set[str]:
        found = set()
        for name, data in KEYS.items():
            try:
                _, key = self.slots.find(self.attributes, self.data, Passphrase(data))
            except CryptlvError:
                continue
            assert key.matches(self.key)
            found.add(name)
        return found

    def numbers(self) -> list[int]:
        """The keyslots as ours lists them, which must be as stock does."""
        ours = [slot.number for slot in self.slots.listed(self.data)]
        if self.kind == "luks2":
            assert ours == sorted(map(int, self.tree()["keyslots"]))
        else:
            dump = self.stock("luksDump", "header")
            assert ours == [number for number in range(8) if f"Key Slot {number}: ENABLED" in dump]
        return ours

    def tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads(self.stock("luksDump", "--dump-json-metadata", "header"))
        return tree

    def add(self, old: str, new: str, number: int | None = None) -> int:
        place = self.slots.free_keyslot(self.data, number, CHEAP)
        _, key = self.slots.find(self.attributes, self.data, Passphrase(KEYS[old]))
        self.path.write_bytes(self.slots.with_key(self.data, place, key, Passphrase(KEYS[new]), CHEAP, ENV))
        return place

    def kill(self, number: int) -> None:
        self.path.write_bytes(self.slots.without_key(self.data, number, ENV))


@pytest.fixture(params=KINDS)
def image(request: pytest.FixtureRequest, machine: Machine) -> Image:
    return Image(machine, request.param)


STOCKS: dict[str, tuple[tuple[tuple[str, ...], ...], str]] = {
    "add": ((("luksAddKey", "--key-file", "a", "header", "b"),), "ab"),
    "add-at": ((("luksAddKey", "-S", "5", "--key-file", "a", "header", "c"),), "ac"),
    "change": ((("luksChangeKey", "--key-file", "a", "header", "d"),), "d"),
    "change-at": ((("luksChangeKey", "-S", "0", "--key-file", "a", "header", "b"),), "b"),
    "kill": (
        (("luksAddKey", "--key-file", "a", "header", "b"), ("luksKillSlot", "--key-file", "b", "header", "0")), "b",
    ),
    "remove": ((("luksAddKey", "--key-file", "a", "header", "c"), ("luksRemoveKey", "header", "a")), "c"),
    "kill-last": ((("luksKillSlot", "header", "0"),), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", STOCKS)
def test_what_cryptsetup_did_ours_reads_and_goes_on_with(image: Image, name: str) -> None:
    steps, opening = STOCKS[name]
    for step in steps:
        image.stock(*step)
    assert image.our_opens() == image.stock_opens() == set(opening)
    image.numbers()
    if not opening:
        return
    free = min(set(KEYS) - set(opening))
    image.add(opening[-1], free, 6)
    assert image.our_opens() == image.stock_opens() == {*opening, free}
    for number in image.numbers():
        if number != 6:
            image.kill(number)
    assert image.our_opens() == image.stock_opens() == {free}
    assert image.numbers() == [6]


def _change(image: Image) -> None:
    image.add("a", "d")
    image.kill(0)


def _kill(image: Image) -> None:
    image.add("a", "b")
    image.kill(0)


def _add_in_the_gap(image: Image) -> None:
    image.add("a", "b")
    image.add("a", "c")
    image.kill(1)
    assert image.add("a", "d") == 1


def _add_at(image: Image) -> None:
    assert image.add("a", "c", 7) == 7


OURS: dict[str, tuple[Callable[[Image], object], str]] = {
    "add": (lambda image: image.add("a", "b"), "ab"),
    "add-at": (_add_at, "ac"),
    "add-in-the-gap": (_add_in_the_gap, "acd"),
    "change": (_change, "d"),
    "kill": (_kill, "b"),
    "kill-last": (lambda image: image.kill(0), ""),
}
NEXT: dict[str, tuple[tuple[str, ...], Callable[[str], set[str]]]] = {
    "luksAddKey": (("luksAddKey", "--key-file", "OLD", "header", "NEW"), lambda new: {new}),
    "luksChangeKey": (("luksChangeKey", "--key-file", "OLD", "header", "NEW"), lambda new: {"-", new}),
    "luksRemoveKey": (("luksRemoveKey", "header", "OLD"), lambda _: {"-"}),
}


@pytest.mark.parametrize("step", NEXT)
@pytest.mark.parametrize("name", OURS)
def test_what_ours_did_cryptsetup_reads_and_goes_on_with(image: Image, name: str, step: str) -> None:
    act, opening = OURS[name]
    act(image)
    before = image.data
    assert image.stock_opens() == image.our_opens() == set(opening)
    assert image.data == before, "cryptsetup had nothing to mend"
    image.numbers()
    if not opening:
        return
    words, what = NEXT[step]
    old, new = opening[-1], min(set(KEYS) - set(opening))
    image.stock(*({"OLD": old, "NEW": new}.get(word, word) for word in words))
    marks = what(new)
    expected = (set(opening) - ({old} if "-" in marks else set())) | (marks - {"-"})
    assert image.our_opens() == image.stock_opens() == expected
    image.numbers()


def test_a_full_header_takes_no_more_from_either(image: Image) -> None:
    for number in range(1, 8):
        if number % 2:
            image.add("a", "b", number)
        else:
            image.stock("luksAddKey", "-S", str(number), "--key-file", "a", "header", "c")
    assert image.numbers() == list(range(8))
    with pytest.raises(CryptlvError, match=r"every keyslot is in use|no room"):
        image.add("a", "d")
    assert image.machine.tool(
        "cryptsetup", "luksAddKey", "-q", *COST, "--key-file", "a", "header", "d", expect=None
    ).status
    for number in range(1, 8):
        image.kill(number)
    assert image.our_opens() == image.stock_opens() == {"a"}


def test_header_backups_are_the_same_to_both(image: Image) -> None:
    image.add("a", "b", 3)
    image.stock("luksHeaderBackup", "header", "--header-backup-file", "kept")
    kept, whole = (image.machine.folder / "kept").read_bytes(), bytearray(image.data)
    used = image.slots.used_bytes(image.data)
    if image.kind == "luks1":
        whole[1024:4096] = bytes(3072)  # stock leaves out what is between the header and the key material
    assert kept[:used] == whole[:used]
    assert image.slots.identity(kept) == image.slots.identity(image.data)
    (image.machine.folder / "ours").write_bytes(image.data[:used])
    image.kill(3)
    image.stock("luksHeaderRestore", "header", "--header-backup-file", "ours")
    assert image.our_opens() == image.stock_opens() == {"a", "b"}


def test_tokens_priorities_and_unbound_keyslots_are_kept(machine: Machine) -> None:
    image = Image(machine, "luks2")
    image.stock("luksAddKey", "--key-file", "a", "header", "b")
    image.stock("luksAddKey", "--unbound", "-s", "256", "-S", "5", "--key-file", "a", "header", "c")
    token = {"type": "clevis", "keyslots": ["1"], "jwe": {"x": "y"}}
    (machine.folder / "token").write_text(json.dumps(token))
    image.stock("token", "import", "--json-file", "token", "--token-id", "7", "header")
    image.stock("config", "--key-slot", "0", "--priority", "prefer", "header")
    shown = [slot.shown for slot in image.slots.listed(image.data)]
    assert shown == ["0:pbkdf2:prefer", "1:pbkdf2:clevis", "5:pbkdf2:unbound"]
    before = image.tree()
    image.add("a", "d")
    image.kill(0)
    after = image.tree()
    assert after["tokens"]["7"] == token
    assert {number: after["keyslots"][number] for number in ("1", "5")} == {
        number: before["keyslots"][number] for number in ("1", "5")
    }
    assert [slot.number for slot in image.slots.listed(image.data) if slot.opens] == [1, 2]
    assert image.our_opens() == {"b", "d"}
    machine.tool("cryptsetup", "open", "--test-passphrase", "-S", "5", "--key-file", "c", "header")


class Volume:
    """An encrypted volume of a group in an image file, and its keystore as stock cryptsetup is given it."""

    def __init__(self, vg0: Machine, kind: str) -> None:
        need("cryptsetup")
        self.machine, self.kind = vg0, kind
        for name, data in KEYS.items():
            vg0.key_file(name, data)
        words = ("--type", "crypt", "--handler", kind, *COST, "-l1", "-n", "x", "--keyfile", "a", "vg0")
        vg0.run("lvcreate", *words)
        (line,) = vg0.run("pvs", "--noheadings", "--units", "b", "-o", "pe_start", "a.img", "--nosuffix").lines
        self.start, self.size = int(line), 4 * 2**20
        magic = b"LUKS\xba\xbe" + (b"\0\1" if kind == "luks1" else b"\0\2")
        assert self.read()[:8] == magic, "the keystore is the group's first extent"

    def read(self) -> bytes:
        with (self.machine.folder / "a.img").open("rb") as file:
            file.seek(self.start)
            return file.read(self.size)

    def stock(self, *words: str, expect: int | None = 0) -> str:
        """Stock cryptsetup on a copy, which is put back."""
        copy = self.machine.folder / "store"
        copy.write_bytes(self.read())
        out = self.machine.tool("cryptsetup", "-q", *words, expect=expect).out
        with (self.machine.folder / "a.img").open("r+b") as file:
            file.seek(self.start)
            file.write(copy.read_bytes())
        return out

    def opens(self) -> set[str]:
        words = ("cryptsetup", "open", "--test-passphrase", "store", "--key-file")
        (self.machine.folder / "store").write_bytes(self.read())
        return {name for name in KEYS if self.machine.tool(*words, name, expect=None).status == 0}

    def activates(self) -> set[str]:
        found = set()
        for name in KEYS:
            done = self.machine.run("lvchange", "-ay", "--keyfile", name, "vg0/x", expect=None)
            if done.status == 0:
                found.add(name)
                self.machine.run("lvchange", "-an", "vg0/x")
        return found


@pytest.fixture(params=KINDS)
def volume(request: pytest.FixtureRequest, vg0: Machine) -> Volume:
    return Volume(vg0, request.param)


def test_keys_of_a_volume_are_changed_by_both_in_turn(volume: Volume) -> None:
    run = volume.machine.run
    run("lvchange", "--addkey", *COST, "--keyfile", "a", "--newkeyfile", "b", "vg0/x")
    assert volume.opens() == {"a", "b"}
    volume.stock("luksAddKey", *COST, "-S", "4", "--key-file", "b", "store", "c")
    assert volume.activates() == {"a", "b", "c"}
    run("lvchange", "--changekey", *COST, "--keyfile", "c", "--newkeyfile", "d", "vg0/x")
    assert volume.opens() == {"a", "b", "d"}
    volume.stock("luksKillSlot", "--key-file", "d", "store", "0")
    assert volume.activates() == {"b", "d"}
    run("lvchange", "--removekey", "--keyfile", "b", "vg0/x")
    assert volume.opens() == {"d"}
    volume.stock("luksChangeKey", *COST, "--key-file", "d", "store", "a")
    assert volume.activates() == {"a"}


def test_header_backups_of_a_volume_are_put_back_by_either(volume: Volume) -> None:
    run, folder = volume.machine.run, volume.machine.folder
    volume.stock("luksHeaderBackup", "store", "--header-backup-file", "stock.hdr")
    run("lvchange", "--backupkeystore", "our.hdr", "vg0/x")
    run("lvchange", "--addkey", *COST, "--keyfile", "a", "--newkeyfile", "b", "vg0/x")
    run("lvchange", "-y", "--restorekeystore", "stock.hdr", "vg0/x")
    assert volume.opens() == volume.activates() == {"a"}
    run("lvchange", "--changekey", *COST, "--keyfile", "a", "--newkeyfile", "c", "vg0/x")
    (folder / "our.hdr").chmod(0o600)
    volume.stock("luksHeaderRestore", "store", "--header-backup-file", "our.hdr")
    assert volume.opens() == volume.activates() == {"a"}


def test_a_changed_key_keeps_its_tokens_as_with_cryptsetup_and_its_priority(machine: Machine) -> None:
    found = []
    for folder in ("ours", "stock"):
        part = Machine(machine.folder / folder)
        part.folder.mkdir()
        image = Image(part, "luks2")
        token = {"type": "clevis", "keyslots": ["0"], "jwe": {"x": "y"}}
        (part.folder / "token").write_text(json.dumps(token))
        image.stock("token", "import", "--json-file", "token", "--token-id", "7", "header")
        image.stock("config", "--key-slot", "0", "--priority", "prefer", "header")
        if folder == "ours":
            with Passphrase(KEYS["b"]) as new:
                data = image.slots.with_key(image.data, 1, image.key, new, CHEAP, ENV, like=0)
            image.path.write_bytes(image.slots.without_key(data, 0, ENV))
            assert [slot.shown for slot in image.slots.listed(image.data)] == ["1:pbkdf2:prefer:clevis"]
        else:
            image.stock("luksChangeKey", "--key-file", "a", "header", "b")
        assert image.stock_opens() == image.our_opens() == {"b"}
        found.append(len(image.tree()["tokens"]["7"]["keyslots"]))
    assert found == [1, 1]

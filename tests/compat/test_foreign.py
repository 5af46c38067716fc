"""Whose a volume group is: system IDs, shared and read-only forms, as stock reads the same configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from cryptlv.host.lvmconf import HostSettings, observe_settings
from cryptlv.host.system import make_environment, observe_directories
from cryptlv.ondisk.vgtext import parse_document, parse_vg
from cryptlv.ops.report import report_lvs, report_pvs, report_vgs
from cryptlv.ops.session import Session
from cryptlv.report.rows import pv_name

if TYPE_CHECKING:
    from pathlib import Path

    from support.machine import Machine
    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]

LOCAL = 'local {{ system_id = "{}" {} }}\n'


def be(stock: StockLvm, name: str, extra: str = "") -> HostSettings:
    """Make the host one of that system ID, none for ""."""
    source = '"lvmlocal"' if name else '"none"'
    stock.configure(LOCAL.format(name, extra) if name or extra else "", system_id_source=source)
    return observe_settings(str(stock.folder / "etc"), "vm")


def test_the_system_id_is_what_stock_says(stock: StockLvm, tmp_path: Path) -> None:
    import socket

    (tmp_path / "id").write_text("# about\n\n  ab c!@d#x\nother\n")
    (tmp_path / "empty").write_text("#\n")
    (tmp_path / "machine-id").write_text("0123abcd\n")
    cases = [
        (source, extra, local)
        for source in ("none", "uname", "UNAME", "lvmlocal", "machineid", "machine-id", "appmachineid", "bogus")
        for extra, local in (("", ""), (f'global/etc = "{tmp_path}"', 'local/system_id = "loc"'))
    ]
    cases += [("file", f'global/system_id_file = "{tmp_path}/{name}"', "") for name in ("id", "empty", "gone")]
    cases += [
        ("lvmlocal", "local/system_id = 'a'", f"local/system_id = '{word}'") for word in ("b", "-x y/z!", "9" * 200)
    ]
    cases += [("lvmlocal", "", f"local {{ system_id = '{word}' }}") for word in ("localhost7", "++", "")]
    cases += [("lvmlocal", "", 'local { system_id = "x" }\nlocal { system_id = "y" }')]
    for source, extra, local in cases:
        stock.configure(local, system_id_source=f'"{source}"\n{extra}')
        ours = observe_settings(str(stock.folder / "etc"), socket.gethostname())
        theirs = stock.run("systemid")
        assert f"system ID: {ours.system_id}".strip() == theirs.out.strip(), (source, extra, local)
        said = re.findall(r"WARNING: (?!Ignoring duplicate)(.*ystem.*ID.*|.*system_id.*)", theirs.err)
        assert bool(ours.warnings) == bool(said), (source, extra, local, ours.warnings, said)


@pytest.fixture
def groups(stock: StockLvm, tmp_path: Path) -> list[Path]:
    """Volume groups of nobody, of hosts `me` and `other`, shared and clustered ones, and a free device."""
    nodes = []
    for number in range(6):
        image = tmp_path / f"{number}.img"
        with image.open("wb") as file:
            file.truncate(32 * 1024 * 1024)
        nodes.append(stock.attach(image))
    for name, host, node in (
        ("plain", "", 0),
        ("mine", "me", 1),
        ("theirs", "other", 2),
        ("lent", "", 3),
        ("old", "", 4),
    ):
        be(stock, host)
        stock.run("vgcreate", name, nodes[node])
        stock.run("lvcreate", "-an", "-Zn", "-l1", "-nx", name)
    backup = tmp_path / "backup"
    for name, before, after in (
        ("lent", "extent_size =", 'lock_type = "sanlock"\nlock_args = "1.0.0:lvmlock"\nextent_size ='),
        ("old", '"WRITE"]', '"WRITE", "CLUSTERED"]'),
    ):
        stock.run("vgcfgbackup", "-f", backup, name)
        backup.write_text(backup.read_text().replace(before, after, 1))
        stock.run("vgcfgrestore", "-f", backup, name)
    return nodes


HOSTS = (("me", ""), ("", ""), ("new", 'extra_system_ids = [ "other" ]'), ("", 'extra_system_ids = [ "other" ]'))


@pytest.mark.parametrize(("host", "extra"), HOSTS)
def test_reports_show_what_stock_shows(
    stock: StockLvm, groups: list[Path], tmp_path: Path, host: str, extra: str
) -> None:
    settings = be(stock, host, extra)
    environ = {"CRYPTLV_SYSTEM_DIR": str(tmp_path / "system"), "CRYPTLV_RUN_DIR": str(tmp_path / "run")}
    directories = observe_directories(environ, 0, settings)
    nodes = tuple(map(str, groups))
    said: list[str] = []
    env = make_environment("test", settings.system_id)
    with Session(directories, env, devices=nodes, warn=said.append, settings=settings) as session:
        for foreign in (False, True):
            for shared in (False, True):
                options = [word for word, given in (("--foreign", foreign), ("--shared", shared)) if given]
                theirs = stock.run("vgs", "--noheadings", "-ovg_name", "-Ovg_name", *options)
                said.clear()
                session._said.clear()
                names = sorted(
                    row.group.vg.name for row in report_vgs(session, foreign=foreign, shared=shared) if row.group
                )
                assert names == theirs.lines, options
                unknown = len(re.findall("unknown local system ID", theirs.err))
                assert sum("unknown local system ID" in line for line in said) == unknown, options
                assert any("clustered" in line for line in said) is ("Skipping clustered" in theirs.err), options
                pvs = stock.run("pvs", "--noheadings", "-opv_name,vg_name", "-Opv_name", *options)
                paths = [line.split()[0] for line in pvs.lines]  # with pv_name alone, stock would show them all
                assert sorted(map(pv_name, report_pvs(session, foreign=foreign, shared=shared))) == paths, options
                lvs = stock.run("lvs", "--noheadings", "-ovg_name", "-Ovg_name", *options).lines
                assert (
                    sorted(
                        row.group.vg.name for row in report_lvs(session, foreign=foreign, shared=shared) if row.group
                    )
                    == lvs
                )


def test_commands_that_name_such_a_group_fail_as_with_stock(
    machine: Machine, stock: StockLvm, groups: list[Path]
) -> None:
    machine.environ["LVM_SYSTEM_DIR"] = str(stock.folder / "etc")
    devices = ("--devices", ",".join(map(str, groups)))
    for host, extra in HOSTS:
        be(stock, host, extra)
        for name in ("plain", "mine", "theirs", "lent", "old"):
            out = str(stock.folder / "out")
            readers: list[tuple[str, ...]] = [("vgs", name), ("lvs", f"{name}/x"), ("vgcfgbackup", "-f", out, name)]
            for words in readers:
                theirs = stock.run(*words, expect=None).status
                ours = machine.run(words[0], *devices, *words[1:], expect=None).status
                assert (ours == 0) == (theirs == 0), (host, words)
        shown = {line.split()[0] for line in stock.run("pvs", "--noheadings").lines}
        for node in groups:
            status = machine.run("pvs", *devices, node, expect=None).status
            assert (status == 0) == (str(node) in shown), (host, node)
    be(stock, "me")
    before = [stock.metadata(node) for node in groups[:5]]
    for name, word in (("theirs", "local system ID me"), ("lent", "sanlock"), ("old", "clustered")):
        changes: list[tuple[str, ...]] = [
            ("lvcreate", "-l1", name),
            ("lvremove", "-y", f"{name}/x"),
            ("vgchange", "-an", name),
        ]
        for words in changes:
            assert word in machine.fail(words[0], *devices, *words[1:])
            stock.run(*words[:1], *(("-an", "-Zn") if words[0] == "lvcreate" else ()), *words[1:], expect=5)
    machine.run("vgchange", *devices, "-an")
    assert [stock.metadata(node) for node in groups[:5]] == before
    assert "unknown local system ID" in machine_of_nobody(machine, stock).fail("vgs", *devices, "mine")


def test_what_can_be_shown_is_shown_and_the_rest_is_an_error(
    machine: Machine, stock: StockLvm, groups: list[Path]
) -> None:
    machine.environ["LVM_SYSTEM_DIR"] = str(stock.folder / "etc")
    be(stock, "me")
    for words in (
        "vgs plain theirs", "vgs theirs plain mine", "vgs none plain", "vgs lent old mine", "lvs plain theirs mine",
        "lvs plain/x theirs/x", "lvs plain/none plain/x mine/none mine", "lvs none/x plain/x", f"pvs {groups[2]}",
        f"pvs {groups[0]} {groups[2]} /dev/none {groups[1]}", f"pvs -o pv_name {groups[2]} {groups[0]}",
    ):  # fmt: skip
        command, *rest = words.split()
        theirs = stock.run(command, *rest, expect=None)
        ours = machine.run(command, "--devices", ",".join(map(str, groups)), *rest, expect=None)
        assert ours.out == theirs.out.replace("XX", "--"), words
        assert ours.status == theirs.status, words
        assert bool(ours.err) == bool(ours.status), words
        assert "Traceback" not in ours.err


def test_labels_are_shown_whosever_they_are(machine: Machine, stock: StockLvm, groups: list[Path]) -> None:
    """Where no field of another kind is shown, selected or sorted by; what is missing has no label."""
    machine.environ["LVM_SYSTEM_DIR"] = str(stock.folder / "etc")
    be(stock, "me")
    stock.run("vgextend", "plain", groups[5])
    groups.pop(5).unlink()
    for words in (
        "pvs -o pv_name", "pvs -o pv_name,pv_uuid,pv_fmt,dev_size", "pvs -o pv_name,pv_mda_size,pv_ext_vsn",
        "pvs -o pv_major,pv_minor,pv_mda_free,pv_name", "pvs -o pv_name -O dev_size,pv_name",
        "pvs -o pv_name -O -pv_size,pv_name", "pvs -o pv_name -S dev_size>1m", "pvs -o pv_name -S pv_size>1m",
        "pvs -o pv_name,vg_name", "pvs -o pv_name,pv_tags", "pvs -o pv_name,pv_attr --foreign",
    ):  # fmt: skip
        command, *rest = words.split()
        ours = machine.run(command, "--devices", ",".join(map(str, groups)), *rest)
        assert ours.out == stock.run(command, *rest).out, words


def machine_of_nobody(machine: Machine, stock: StockLvm) -> Machine:
    be(stock, "")
    return machine


def test_a_group_of_this_host_is_made_and_written_as_stock_does(
    machine: Machine, stock: StockLvm, groups: list[Path]
) -> None:
    """Volumes that both make in groups that both made come out alike: WRITE_LOCKED, the system ID, the trailer."""
    machine.environ["LVM_SYSTEM_DIR"] = str(stock.folder / "etc")
    be(stock, "me")
    devices = ("--devices", ",".join(map(str, groups)))
    made = machine.run("vgcreate", *devices, "ours", groups[5])
    assert 'Volume group "ours" successfully created with system ID me' in made.out
    stock.run("lvcreate", "-an", "-Zn", "-l1", "-nx", "ours")
    for name, node in (("ours", groups[5]), ("mine", groups[1])):
        machine.run("lvcreate", *devices, "-l1", "-ny", name)
        stock.run("lvcreate", "-an", "-Zn", "-l1", "-nz", name)
        text = stock.metadata(node)
        vg = parse_vg(text)
        assert (vg.system_id, vg.status, vg.flags) == ("me", ("RESIZEABLE", "READ"), ("WRITE_LOCKED",))
        assert {(lv.status, lv.flags) for lv in vg.lvs} == {(("READ", "VISIBLE"), ("WRITE_LOCKED",))}
        assert stock.run("vgs", "--noheadings", "-ovg_systemid,vg_attr", name).lines == ["me        wz--n-"]
        machine.run("lvremove", *devices, "-y", f"{name}/z")
        ours = stock.metadata(node)
        assert b'creation_host_system_id = "me"' in ours
        assert ours.count(b"creation_host_system_id") == text.count(b"creation_host_system_id") == 1
        assert parse_document(ours).creation_host == parse_document(text).creation_host


def test_write_locked_is_turned_back_where_a_group_became_everybodys(
    machine: Machine, stock: StockLvm, groups: list[Path]
) -> None:
    """A text in the locked form without a system ID, as a restored or hand-made one may be."""
    be(stock, "me")
    backup = machine.folder / "backup"
    stock.run("vgcfgbackup", "-f", backup, "mine")
    backup.write_text(backup.read_text().replace('\tsystem_id = "me"\n', "", 1))
    stock.run("vgcfgrestore", "-f", backup, "mine")
    restored = parse_vg(stock.metadata(groups[1]))
    machine.run("vgcfgbackup", "--devices", groups[1], "-f", "ours", "mine")
    machine.run("lvcreate", "--devices", groups[1], "-l1", "-ny", "mine")
    vg = parse_vg(stock.metadata(groups[1]))
    assert vg.status == restored.status == ("RESIZEABLE", "READ", "WRITE")
    assert {(lv.status, lv.flags) for lv in vg.lvs} == {(("READ", "WRITE", "VISIBLE"), ())}

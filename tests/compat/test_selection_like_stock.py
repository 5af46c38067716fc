"""-S: the rows that stock lvm2 chooses, and its refusals."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cryptlv.report.fields import usable_fields
from support.compare import STATE_OF_THE_KERNEL
from support.texts import restore

if TYPE_CHECKING:
    from support.machine import Machine
    from support.stock import StockLvm
    from support.texts import Volumes

pytestmark = [pytest.mark.compat, pytest.mark.root]

MAKE = ("lvcreate", "-an", "-Zn", "-Wn", "-y")

LVS = (
    "", "lv_name=a", "name=a", "lvname = 'a'", 'lv_name="b"', "lv_name!=a", "lv_name=~^[ab]$", "lv_name!~b",
    "lv_name=~(a|c)", "lv_name=~{b}", "lv_name=~a && lv_size>8m", "lv_size=12m", "lv_size=12", "lv_size!=12m",
    "lv_size>=12m", "lv_size>12m", "lv_size<12m", "lv_size<=12m", "lv_size=12M", "lv_size<.01g",
    "lv_size=24576s", "lv_size=12288k", "lv_size=12582912b", "lv_size=0.01171875g", "(lv_name=a)",
    "!(lv_name=a)", "!( lv_name=a || lv_name=b )", "lv_name=a || lv_name=b && lv_size<1m",
    "(lv_name=a || lv_name=b) && lv_size<1m", "lv_name=a # lv_name=c", "lv_name=a,lv_size=12m", "lv_tags=x",
    "lv_tags={x}", "lv_tags=[x]", "lv_tags=[x,y]", "lv_tags=[y && x]", "lv_tags={x&&y}", "lv_tags={x||z}",
    "lv_tags={x#z}", "lv_tags=[x||y||z]", "lv_tags=[x||z]", 'lv_tags=""', 'lv_tags=[""]', "lv_tags!=x",
    "lv_tags!={x,z}", "lv_tags={z}", "lv_tags={q}", "stripes=2", "stripes>1", "segtype=linear",
    "segtype=striped", "seg_count=1", "seg_count>0", "lv_skip_activation=1", "lv_skip_activation=skip",
    "lv_skip_activation='skip activation'", "lv_skip_activation=0", "lv_minor=undefined", "lv_minor=-1",
    "lv_minor=77", "lv_minor>5", "lv_minor!=unknown", "lv_read_ahead=auto", "lv_read_ahead>1k",
    "lv_read_ahead=256k", "lv_read_ahead!=auto", "vg_name=vg", "vg_tags=g", "vg_free>0",
    "vg_mda_copies=unmanaged", "vg_mda_copies=undef", "vg_mda_copies<3", "vg_extendable=1",
    "vg_extendable=extendable", "vg_permissions=rw", "vg_permissions=read-only", "lv_time>2020-01-01",
    "lv_time since 2020", "lv_time before 2020-05", "lv_time>=@0", "lv_time until '2020-01-01 10:30'",
    "lv_time after 19990101", "lv_time<'2101-01-01 10:00:00 +02:00'", "lv_layout=linear",
    "lv_layout={striped}", "lv_role=public", "data_percent>0",
    "data_percent!=5", "data_percent<=50%", "lv_size>1m lv_name=a", "lv_name=a)", "(lv_name=a", "!lv_name=a",
    "nofield=1", "lv_name<a", "lv_size=~1", "lv_size>3q", "lv_size=x", "lv_name", "seg_count=3m",
    "seg_count=3%", "lv_tags=[x&&y||z]", "lv_tags=[x", "lv_tags=[x}", "lv_name='a", "lv_time=2020-13-01",
    "lv_time=x", "lv_name since 2020", "data_percent=101", "seg_count=99999999999999999999", "lv_name=~",
    "seg_count=",
)  # fmt: skip
VGS = ("vg_free<1g", "pv_count=2", "lv_count=0", "vg_tags={g,h}", "vg_partial=1", "vg_attr=~^w", "vg_extent_size=4m")
PVS = ("pv_free>100m", "pv_used=0", "vg_name=vg", 'vg_name=""', "pv_in_use=used", "pv_in_use='in use'", "pv_tags=ssd")


def test_the_same_rows_are_chosen(machine: Machine, stock: StockLvm) -> None:
    nodes = [stock.attach(machine.image(f"{number}.img", 64)) for number in range(4)]
    stock.run("vgcreate", "--addtag", "g", "--addtag", "h", "vg", nodes[0], nodes[1])
    stock.run("vgcreate", "vh", nodes[2])
    stock.run("pvcreate", nodes[3])
    stock.run("pvchange", "--addtag", "ssd", nodes[1])
    stock.run(*MAKE, "-l3", "-na", "--addtag", "x", "--addtag", "y", "vg", nodes[0])
    stock.run(*MAKE, "-l4", "-i2", "-nb", "--addtag", "z", "vg")
    stock.run(*MAKE, "-l1", "-nc", "-ky", "-r256k", "vg")
    stock.run(*MAKE, "-My", "--major", "253", "--minor", "77", "-l1", "-nd", "vg")
    devices = ("--devices", ",".join(map(str, nodes)))
    for command, shown, selections in (
        ("lvs", "vg_name,lv_name", LVS), ("vgs", "vg_name", VGS), ("pvs", "pv_name,vg_name", PVS),
    ):  # fmt: skip
        for selection in selections:
            words = ("-o", shown, "-S", selection)
            theirs = stock.run(command, *words, expect=None)
            ours = machine.run(command, *devices, *words, expect=None)
            assert ours.out == theirs.out, selection
            assert bool(ours.status) == bool(theirs.status), selection
            if ours.status:
                assert ours.err.count("\n") == 1, f"{selection}: {ours.err}"
                assert "selection" in ours.err or "field" in ours.err, selection


def test_fields_look_as_with_stock(machine: Machine, stock: StockLvm) -> None:
    nodes = [stock.attach(machine.image(f"{number}.img", 64)) for number in range(2)]
    stock.run("vgcreate", "vg", *nodes)
    stock.run(*MAKE, "-l3", "-i2", "-na", "--addtag", "x", "vg")
    stock.run(*MAKE, "-l1", "-nb", "-ky", "-pr", "vg")
    devices = ("--devices", ",".join(map(str, nodes)))
    kernels = {"lv_path", "lv_dm_path", "lv_attr", *STATE_OF_THE_KERNEL}
    others = {"pv": ("lv_", "seg_", "crypt_"), "vg": ("pv_", "pvseg_"), "lv": ()}
    for kind, command in (("pv", "pvs"), ("vg", "vgs"), ("lv", "lvs")):
        for options in ((), ("--units", "b", "--nosuffix", "--noheadings")):
            fields = [field for field in usable_fields(kind) if field.prefix not in others[kind]]
            names = [f.name for f in fields if not f.name.startswith("crypt_") and f.name not in kernels]
            for some in (names[place : place + 8] for place in range(0, len(names), 8)):
                words = (command, *options, "-o", ",".join(some))
                assert machine.run(words[0], *devices, *words[1:]).out == stock.run(*words).out, words


TIMES = (
    "today", "yesterday", "Yesterday", "Monday", "Tue", "wednesday", "Thursdays", "Fri", "Saturday", "Sun", "noon",
    "midnight", "yesterday noon", "Monday 10:30", "10:30 yesterday", "9 AM", "9:30 PM", "today 10:15:20",
    "yesterday 3pm", "20 minutes ago", "90 secs ago", "45s ago", "3 hours ago", "2 hrs 30 mins ago", "1 day ago",
    "2days ago", "1 day 3 hours ago", "2 weeks ago", "1 week 2 days ago", "1 month ago", "14 months ago",
    "2 years ago",
    "3 yrs ago", "2 days ago 10:30", "2 days ago noon", "January", "Feb", "March 3", "24 Jun", "Feb 2015", "2015 Feb",
    "24 Feb 2015", "2015 Feb 24", "2019-02",
)  # fmt: skip
MINUTE, HOUR, DAY = 60, 3600, 86400
AGES = (
    10, 50, 80, 100, 15 * MINUTE, 20 * MINUTE + 30, 25 * MINUTE, 2 * HOUR, 2 * HOUR + 31 * MINUTE, 3 * HOUR + 1800,
    *(5 * HOUR * number for number in range(1, 50)), *(3 * DAY * number + 7 * HOUR for number in range(4, 20)),
    *(17 * DAY * number for number in range(4, 60)), *(97 * DAY * number for number in range(10, 60)),
)  # fmt: skip


def test_times_in_words(machine: Machine, stock: StockLvm) -> None:
    """Of volumes of many ages; but for `12 AM` and `12 PM`, which to stock are noon and midnight."""
    node = stock.attach(machine.image("0.img", 64))
    stock.run("vgcreate", "-s", "64k", "vg", node)
    now = int(time.time())

    def of_many_ages(vg: Volumes) -> None:
        for number, age in enumerate(AGES):
            vg.add(f"v{number}", vg.run(1), more={"creation_time": now - age})

    restore(stock, machine.folder, of_many_ages)
    for words in TIMES:
        for sign in ("since", "before") if words in TIMES[:30] else ("=",):
            report = ("lvs", "-o", "lv_name,lv_time", "-S", f'lv_time {sign} "{words}"')
            assert machine.run(*report, "--devices", str(node)).out == stock.run(*report).out, words

"""What -ay and -aay pass over, by flags and by the host's lists; tests/kernel/guest has stock do the same."""

from __future__ import annotations

import pytest

from cryptlv.host.lvmconf import HostSettings
from cryptlv.model.vg import LogicalVolume, VolumeGroup
from cryptlv.ops.autoactivation import is_listed, left_out

GROUP = VolumeGroup(
    name="vg0",
    id="v" * 32,
    seqno=1,
    tags=("shared",),
    lvs=(
        LogicalVolume(name="plain", id="a" * 32),
        LogicalVolume(name="skipped", id="b" * 32, flags=("ACTIVATION_SKIP",)),
        LogicalVolume(name="manual", id="c" * 32, flags=("NOAUTOACTIVATE",), tags=("db",)),
    ),
)


@pytest.mark.parametrize(
    ("settings", "ignore_skip", "automatic", "names"),
    [
        (HostSettings(), False, False, "skipped"),
        (HostSettings(), True, False, ""),
        (HostSettings(), False, True, "skipped manual"),
        (HostSettings(), True, True, "manual"),
        (HostSettings(auto_activation_volume_list=()), True, True, "plain skipped manual"),
        (HostSettings(auto_activation_volume_list=()), True, False, ""),
        (HostSettings(auto_activation_volume_list=("vg0/plain", "vg1")), True, True, "skipped manual"),
        (HostSettings(volume_list=("@db",)), True, False, "plain skipped"),
        (
            HostSettings(volume_list=("vg1",), auto_activation_volume_list=("vg0",)),
            True,
            True,
            "plain skipped manual",
        ),
    ],
)
def test_flags_and_lists_count_together(
    settings: HostSettings, ignore_skip: bool, automatic: bool, names: str
) -> None:
    assert left_out(GROUP, settings, ignore_skip=ignore_skip, automatic=automatic) == set(names.split())


def test_a_group_that_is_not_activated_by_itself_has_no_volume_that_is() -> None:
    group = GROUP.replace(flags=("NOAUTOACTIVATE",))
    assert left_out(group, HostSettings(), ignore_skip=True, automatic=True) == {"plain", "skipped", "manual"}


@pytest.mark.parametrize("word", ["vg0", "vg0/manual", "@shared", "@db"])
def test_a_list_names_groups_volumes_and_tags(word: str) -> None:
    assert is_listed(GROUP, GROUP.lv("manual"), ("other", word))


@pytest.mark.parametrize("word", ["vg0/plain", "manual", "vg", "@", "@*", "shared"])
def test_it_names_nothing_else(word: str) -> None:
    assert not is_listed(GROUP, GROUP.lv("manual"), (word,))

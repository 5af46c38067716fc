"""Guests that end well, and guests that do not: `make test-kernel` boots them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def boot(*words: str, given: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command in a guest with these options."""
    command = [sys.executable, "-m", "tests.kernel.run", *given, "--", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def test_the_commands_output_and_status_are_the_runs(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("the host's")
    script = f"cat {kept}; echo changed >{kept}; uname -r >&2; head -c 3000000 /dev/zero | tr '\\0' a; id -u; exit 7"
    done = boot("sh", "-c", script)
    assert done.returncode == 7
    output = done.stdout.replace("a" * 3000000, "")
    assert output.startswith("the host's")
    assert output.splitlines()[-1] == "0"
    assert "-amd64" in output
    assert kept.read_text() == "the host's"


def test_the_disks_are_as_asked_for_and_empty() -> None:
    show = "for d in /sys/block/vd*; do echo $(cat $d/serial) $(cat $d/size $d/queue/logical_block_size); done"
    script = f"{show}; cat /dev/vdb | tr -d '\\0'"
    done = boot("sh", "-c", script, given=("--disk", "5", "--disk", "6,4096"))
    assert done.stdout.splitlines() == ["disk0 10240 512", "disk1 12288 4096"]


def test_more_disks_than_microvm_has_places_for() -> None:
    script = "ls /sys/block | grep -c ^vd; ls -d /sys/devices/pci0000:00"
    done = boot("sh", "-c", script, given=("--disk", "1") * 18)
    assert done.stdout.splitlines() == ["18", "/sys/devices/pci0000:00"]


def test_udevd_runs_where_it_is_asked_for_and_the_mapper_knows() -> None:
    script = (
        "cat /proc/[0-9]*/comm | grep -c udevd; dmsetup create zeroes --table '0 8 zero'; readlink /dev/mapper/zeroes"
    )
    assert boot("sh", "-c", script, given=("--udev",)).stdout.splitlines() == ["1", "../dm-0"]
    done = boot("sh", "-c", script + "; stat -c %F /dev/mapper/zeroes")
    assert done.stdout.splitlines() == ["0", "block special file"]


def test_a_guest_that_panics_is_a_failure_with_the_consoles_end() -> None:
    done = boot("sh", "-c", "echo begun; sleep 0.5; echo c >/proc/sysrq-trigger")
    assert (done.returncode, done.stdout) == (125, "begun\n")
    assert "Kernel panic - not syncing: sysrq triggered crash" in done.stderr
    assert done.stderr.endswith("kernel tests: the guest ended without a status\n")


def test_a_guest_that_hangs_is_ended_at_the_time_limit() -> None:
    done = boot("sh", "-c", "echo begun; sleep 600", given=("--timeout", "10"))
    assert (done.returncode, done.stdout) == (124, "begun\n")
    assert done.stderr.endswith("kernel tests: the time limit of 10 s was reached\n")


def test_a_run_that_is_terminated_takes_its_guest_along() -> None:
    command = [sys.executable, "-m", "tests.kernel.run", "--", "sh", "-c", "echo begun; sleep 600"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        [guest] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert Path(f"/proc/{guest}/comm").read_text().startswith("qemu")
        process.terminate()
    assert process.returncode == 143
    assert not Path(f"/proc/{guest}").exists()


def test_a_package_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    tool = tmp_path / "apt-get"
    tool.write_text("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
    tool.chmod(0o755)
    environ = dict(
        os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}", CRYPTLV_KERNEL_CACHE=str(tmp_path / "cache"), CI="true"
    )
    command = [sys.executable, "-m", "tests.kernel.run", "--", "true"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1
    assert done.stderr.startswith("no kernel to test with: apt-get download linux-image-")
    assert done.stderr.endswith("failed: E: no network\n")
    assert list((tmp_path / "cache").iterdir()) == [tmp_path / "cache" / "lock"]

#!/bin/sh
# Set a machine up for `make test` or `make demo`: system packages by apt where that is allowed, a virtual environment
# with cryptlv in it. What cannot be installed is named, with the command that does it.
#
#   tools/setup.sh VENV test|kernel|bench-kernel|demo
set -eu

venv=$1
purpose=$2
python=${PYTHON:-python3}

# program:package pairs; a program is looked for in sbin, too.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
needed="mke2fs:e2fsprogs debugfs:e2fsprogs lvm:lvm2 cryptsetup:cryptsetup-bin fusermount3:fuse3 nbdcopy:libnbd-bin"
if [ "$purpose" != demo ]; then
    needed="$needed nbdinfo:libnbd-bin nbdkit:nbdkit qemu-io:qemu-utils nbdsh:python3-libnbd fio:fio openssl:openssl losetup:util-linux unshare:util-linux strace:strace xz:xz-utils dd:coreutils cc:gcc keyctl:keyutils systemd-analyze:systemd"
fi
# The kernel itself and its initramfs are unpacked packages (tests/kernel/image.py): nothing of them is installed.
case "$purpose" in kernel | bench-kernel)
    needed="$needed qemu-system-x86_64:qemu-system-x86 dpkg-deb:dpkg"
    [ "$purpose" = kernel ] || needed="$needed fio:fio"
    purpose=test
    ;;
esac

missing=
for pair in $needed; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || case " $missing " in *" ${pair#*:} "*) ;; *) missing="$missing ${pair#*:}" ;; esac
done
# A venv needs pip in it: Debian keeps that in a package of its own. pip alone, without venv, will do as well.
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && ! "$python" -m pip --version >/dev/null 2>&1; then
    missing="$missing python3-venv"
fi
# The native part of cryptlv is built where this is; without it there is a slower one.
if [ "$purpose" = test ] \
    && ! "$python" -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' >/dev/null 2>&1; then
    missing="$missing python3-dev"
fi

if [ -n "$missing" ]; then
    as_root=
    if [ "$(id -u)" != 0 ]; then
        as_root=none
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root=sudo; fi
    fi
    if command -v apt-get >/dev/null 2>&1 && [ "$as_root" != none ]; then
        echo "installing:$missing"
        log=$(mktemp)
        # shellcheck disable=SC2086
        if ! { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
            tail -n 20 "$log" >&2
            echo "these packages could not be installed:$missing" >&2
            rm -f "$log"
            exit 1
        fi
        rm -f "$log"
    else
        echo "missing system packages:$missing" >&2
        echo "install them with: sudo apt-get install$missing" >&2
        case " $missing " in *" python3-venv "*) exit 1 ;; esac
        echo "going on without them: what needs them is left out" >&2
    fi
fi

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv"
    if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        "$python" -m venv "$venv"
    else
        "$python" -m venv --without-pip "$venv"
        site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        "$python" -m pip install --quiet --disable-pip-version-check --target "$site" pip
    fi
fi

# Installed anew only when what is asked for has changed.
stamp="$venv/.cryptlv-$purpose"
wanted=$(cat pyproject.toml tools/setup.sh tools/build_native.py native/sectors.c | cksum)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    set -- --quiet --disable-pip-version-check --editable '.[all]'
    if [ "$purpose" = test ]; then
        # shellcheck disable=SC2046
        set -- "$@" $("$venv/bin/python" tools/dependencies.py test lint)
    fi
    "$venv/bin/python" -m pip install "$@"
    echo "$wanted" >"$stamp"
fi

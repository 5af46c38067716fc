#!/bin/busybox sh
# The first program of the guest, in the initramfs: mounts the host's root file system read-only over 9p, puts memory over
# it for what is written, and goes on in there with agent.sh.
export PATH=/bin
give_up() { echo "guest: $*" >/dev/console; dmesg | tail -n 30 >/dev/console; usleep 200000; reboot -f; }
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /early); do insmod "/modules/$module" || echo "guest: no module $module" >/dev/console; done
. /settings
date -s "@$NOW" >/dev/null
mount -t 9p -o "ro,trans=virtio,version=9p2000.L,cache=loose,msize=$MSIZE" root /lower || give_up "no root file system"
mount -t tmpfs -o mode=755,size=75% upper /upper
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work,xino=off,index=off overlay /new \
    || give_up "no overlay"
for folder in proc sys dev; do mount -o move /$folder /new/$folder; done
mount -t tmpfs -o mode=755,nosuid run /new/run
mkdir -p /new/run/guest /new/run/lock /new/run/lvm /new/run/cryptsetup /new/run/tmp
cp -a /bin /settings /agent.sh /new/run/guest/
exec switch_root /new /run/guest/bin/busybox sh /run/guest/agent.sh

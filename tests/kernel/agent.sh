#!/run/guest/bin/busybox sh
# Process 1 of the guest on the host's files: what init.sh left to be set up, then the one command, then power off.
export PATH=/run/guest/bin:/usr/sbin:/usr/bin:/sbin:/bin
. /run/guest/settings
mkdir -p /dev/pts /dev/shm /dev/mapper
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
ln -sf /proc/self/fd /dev/fd; ln -sf fd/0 /dev/stdin; ln -sf fd/1 /dev/stdout; ln -sf fd/2 /dev/stderr
hostname guest
ip link set lo up
# Modules come from the unpacked package; the kernel asks for what it needs (a cipher of a dm-crypt table, say) by modprobe.
mkdir -p "/lib/modules/$(uname -r)"
mount -o bind "$MODULES" "/lib/modules/$(uname -r)"
echo /run/guest/bin/modprobe >/proc/sys/kernel/modprobe
# Others want their index in a form of their own.
for tool in modprobe insmod rmmod; do ln -sf /run/guest/bin/busybox /sbin/$tool; done
for module in dm_mod loop; do modprobe $module; done
[ -e /dev/mapper/control ] || mknod -m 600 /dev/mapper/control c 10 236
for port in /sys/class/virtio-ports/*; do
    read -r name <"$port/name" && ln -sf "/dev/${port##*/}" "/dev/port-$name"
done
if [ -n "$UDEV" ]; then
    for folder in bin lib usr etc; do [ -d "$UDEV/$folder" ] && cp -a "$UDEV/$folder/." /$folder/; done
    mkdir -p /run/udev
    /lib/systemd/systemd-udevd --daemon --resolve-names=never
    udevadm trigger --action=add --subsystem-match=block --subsystem-match=misc --subsystem-match=mem
    udevadm settle -t 60
fi
( exec </dev/null >/dev/port-output 2>&1; exec /bin/sh "$COMMAND" )
echo $? >/dev/port-status
reboot -f

#!/bin/sh
# Boots this machine's systemd as PID 1 of a box: with its own mounts, processes,
# host name, IPC and control groups, on an overlay of /. It doesn't change the host.
# The network is shared, so that the sandbox org is on loopback.
#
#   box.sh DIR PREPARE
#
# DIR is an empty folder. The script runs PREPARE ROOT before the boot, and prints
# systemd's process ID on the host. The box ends at the end of standard input.
set -eu

case $1 in
outer) # in a new mount namespace
	dir=$2 prepare=$3
	mount -t tmpfs box "$dir"
	mkdir "$dir/upper" "$dir/work" "$dir/root" "$dir/cgroups"
	mount -t overlay box -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
	# This control group becomes the root of the new namespace.
	mount -t cgroup2 cgroup2 "$dir/cgroups"
	group=$dir/cgroups/oktasync-box-$$
	mkdir "$group"
	echo 0 >"$group/cgroup.procs"
	"$prepare" "$dir/root"
	unshare --pid --mount --uts --ipc --cgroup --fork --kill-child --propagation private \
		sh "$0" inner "$dir/root" &
	child=$!
	systemd=
	until [ "$(cat "/proc/$systemd/comm" 2>/dev/null)" = systemd ]; do
		kill -0 $child
		sleep 0.05
		systemd=$(tr -d ' ' <"/proc/$child/task/$child/children")
	done
	echo "$systemd"
	cat >/dev/null
	kill -KILL $child
	wait $child || true
	echo 0 >"$dir/cgroups/cgroup.procs"
	until find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; do
		sleep 0.05 # the last processes are still ending
	done
	;;
inner) # PID 1 of the box
	root=$2
	cd "$root"
	for fresh in run tmp var/tmp var/log; do
		mount -t tmpfs tmpfs "$fresh" -o mode=755
	done
	chmod 1777 tmp var/tmp
	mount -t proc proc proc
	mount --bind proc/sys proc/sys
	mount -o remount,bind,ro proc/sys
	mount -t sysfs sysfs sys -o ro
	mount -t tmpfs tmpfs sys/fs/cgroup -o mode=755 2>/dev/null || true
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	mount -t tmpfs tmpfs dev -o mode=755
	mkdir dev/pts dev/shm
	for node in null:3 zero:5 full:7 random:8 urandom:9; do
		mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"
	done
	mknod -m 666 dev/tty c 5 0
	mount -t devpts devpts dev/pts -o newinstance,ptmxmode=666
	mount -t tmpfs tmpfs dev/shm -o mode=1777
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	for fd in 0:stdin 1:stdout 2:stderr; do
		ln -s "/proc/self/fd/${fd%:*}" "dev/${fd#*:}"
	done
	hostname box
	mkdir -p .old
	pivot_root . .old
	umount -l /.old
	rmdir /.old
	mount --make-rshared / # required by LoadCredential= with DynamicUser=
	exec env -i container=other /lib/systemd/systemd --system --unit=multi-user.target </dev/null >/dev/null 2>&1
	;;
*)
	exec unshare --mount --propagation private sh "$0" outer "$@"
	;;
esac

#!/bin/sh
# Leaves of the host's services only what a box needs, and copies into it what
# lies in the folder $BOX_FILES.
#
#   prepare.sh ROOT
set -eu
cd "$1"
rm -rf etc/systemd/system/*.wants lib/systemd/system/multi-user.target.wants lib/systemd/system/timers.target.wants
for want in lib/systemd/system/sysinit.target.wants/*; do
	case $want in
	*/systemd-journald.service | */systemd-sysusers.service | */systemd-tmpfiles-setup.service) ;;
	*) rm "$want" ;;
	esac
done
mkdir -p etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nForwardToConsole=no\nRateLimitBurst=0\n' >etc/systemd/journald.conf.d/box.conf
: >etc/fstab
cp -R "$BOX_FILES/." .

#!/bin/sh
# Removes the host's services that a box doesn't need, and copies the files in
# $BOX_FILES into the box.
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

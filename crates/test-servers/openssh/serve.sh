#!/bin/bash
# Runs OpenSSH's server with users of its own: in namespaces whose files of users, and whose processes, nobody else sees.
# usage: serve.sh PROGRAMS DIRECTORY PORT
set -euo pipefail
programs=$1 directory=$2 port=$3

for file in passwd group shadow; do
    mount --bind "$directory/$file" "/etc/$file"
done
mount -t tmpfs tmpfs /run
mkdir /run/sshd
if [ -e "$directory/small" ]; then
    mount -t tmpfs -o size=1m,mode=777 tmpfs "$directory/files"
fi

export LD_LIBRARY_PATH
LD_LIBRARY_PATH=$(echo "$programs"/usr/lib/*-linux-gnu)
exec "$programs/usr/sbin/sshd" -D -e -f "$directory/sshd_config" -p "$port"

#!/bin/bash
# A Ceph of one monitor and one store in memory, with a gateway that speaks S3. Everything listens on 127.0.0.1 and ends with this script's
# process group.
#
# serve.sh DIRECTORY KEY SECRET -p PORT
set -euo pipefail
directory=$1 key=$2 secret=$3 port=$5
monitor_v2=$((port + 1)) monitor_v1=$((port + 2))
mkdir -p "$directory"/{mon,osd,log,run}
# Without "ms mon ... mode = crc" the gateway waits for the monitor for ever when there is no authentication between them.
# The monitor holds a few megabytes: how full the disk is around them is not its concern (it would not start on one with less than 5 % left).
cat > "$directory/ceph.conf" <<END
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v2:127.0.0.1:$monitor_v2,v1:127.0.0.1:$monitor_v1]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
ms bind port min = $((port + 3))
ms bind port max = $((port + 60))
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
osd objectstore = memstore
memstore device bytes = 4294967296
run dir = $directory/run
admin socket = $directory/run/\$name.asok
log file = $directory/log/\$name.log
mon data = $directory/mon
mon data avail crit = 0
mon data avail warn = 0
osd data = $directory/osd
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw dns name = localhost
rgw crypt require ssl = false
setuser match path =
END
export CEPH_CONF=$directory/ceph.conf CEPH_ARGS="--conf $directory/ceph.conf"
monmaptool --create --fsid "$(sed -n 's/^fsid = //p' "$CEPH_CONF")" \
    --addv a "[v2:127.0.0.1:$monitor_v2,v1:127.0.0.1:$monitor_v1]" "$directory/monmap"
ceph-mon -i a --mkfs --monmap "$directory/monmap"
ceph-mon -i a -f &
timeout 240 ceph osd create
ceph-osd -i 0 --mkfs
ceph-osd -i 0 -f &
timeout 240 ceph osd crush add osd.0 1 root=default host=localhost
# Before the gateway listens: whoever finds it there finds its user too.
timeout 240 radosgw-admin user create --uid=tester --display-name=tester --access-key="$key" --secret-key="$secret"
exec radosgw -n client.rgw.a -f

#!/bin/bash
# The first process of a Linux whose root is that of the machine it runs on. It exports three directories by the kernel's NFS server and mounts them by
# the kernel's client, runs what $NFS_RUN says, and says how that ended.
#
#   $NFS_EXPORT/main       exported with root as root: mounted at $NFS_V4, once more at $NFS_V4_TOO, and by NFSv3 at $NFS_V3
#   $NFS_EXPORT/small      8 MiB: mounted at $NFS_SMALL
#   $NFS_EXPORT/squashed   root is nobody there: mounted at $NFS_SQUASHED
x=$NFS_PACKAGES
export PATH=$x/usr/sbin:$x/usr/bin:$x/sbin:$x/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LD_LIBRARY_PATH=$x/usr/lib/x86_64-linux-gnu:$x/lib/x86_64-linux-gnu
fail() { echo "NFS: $*"; echo o > /proc/sysrq-trigger; sleep 10; }

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /mnt
# Nothing of the machine is changed: what the tools keep they keep here.
cp -a /etc /run/etc && cp "$x/etc/netconfig" /run/etc/ && touch /run/etc/exports
echo "_rpc:x:9111:65534::/run/rpcbind:/usr/sbin/nologin" >> /run/etc/passwd
mount --bind /run/etc /etc
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/rpcbind /var/lib/nfs/{sm,sm.bak,v4recovery,rpc_pipefs} /run/modules/lib/modules
touch /var/lib/nfs/{etab,rmtab,state,xtab}
ip link set lo up
ln -s "$x"/usr/lib/uml/modules/* /run/modules/lib/modules/
for module in nfsd nfsv4 nfsv3 sch_netem; do
    (exec -a modprobe kmod -d /run/modules "$module") || fail "no module $module"
done
mount -t nfsd nfsd /proc/fs/nfsd
mount -t rpc_pipefs sunrpc /var/lib/nfs/rpc_pipefs

export NFS_EXPORT=/mnt/export NFS_V4=/mnt/v4 NFS_V4_TOO=/mnt/v4-too NFS_V3=/mnt/v3 NFS_SMALL=/mnt/small NFS_SQUASHED=/mnt/squashed
mkdir -p $NFS_EXPORT $NFS_V4 $NFS_V4_TOO $NFS_V3 $NFS_SMALL $NFS_SQUASHED
mount -t tmpfs -o size=1m tmpfs $NFS_EXPORT
mkdir $NFS_EXPORT/{main,small,squashed}
mount -t tmpfs -o size=400m tmpfs $NFS_EXPORT/main
mount -t tmpfs -o size=8m tmpfs $NFS_EXPORT/small
mount -t tmpfs -o size=8m,mode=755 tmpfs $NFS_EXPORT/squashed
rpcbind -w || fail "no rpcbind"
export_it() { exportfs -o "rw,insecure,no_subtree_check,$1" "127.0.0.1:$2" || fail "$2 is not exported"; }
export_it no_root_squash,fsid=0 $NFS_EXPORT
export_it no_root_squash,fsid=1 $NFS_EXPORT/main
export_it no_root_squash,fsid=2 $NFS_EXPORT/small
export_it root_squash,fsid=3 $NFS_EXPORT/squashed
rpc.mountd 2>/dev/null
# Seconds that a server waits for its clients when it has started again: as few as it allows.
echo 10 > /proc/fs/nfsd/nfsv4leasetime
echo 10 > /proc/fs/nfsd/nfsv4gracetime
rpc.nfsd -V 3 -V 4 2 || fail "no NFS server"
# No client of an earlier run comes back for its locks.
echo Y > /proc/fs/nfsd/v4_end_grace
mount4() { mount.nfs4 127.0.0.1:/"$1" "$2" -o vers=4.2,proto=tcp,hard,timeo=50,retry=0,"$3" || fail "$1 is not mounted"; }
mount4 main $NFS_V4 sharecache
mount4 main $NFS_V4_TOO nosharecache
mount4 small $NFS_SMALL sharecache
mount4 squashed $NFS_SQUASHED sharecache
mount.nfs 127.0.0.1:$NFS_EXPORT/main $NFS_V3 -o vers=3,nolock,proto=tcp,hard,timeo=50,retry=0 || fail "main is not mounted by NFSv3"

bash -c "$NFS_RUN" 2>&1
echo "NFS: ended with $?"
echo o > /proc/sysrq-trigger
sleep 10

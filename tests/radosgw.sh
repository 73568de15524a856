#!/usr/bin/env bash
# A Ceph RADOS Gateway of one node on 127.0.0.1: a real S3 server to test against.
#
#   tests/radosgw.sh DATA_DIR PORT ACCESS_KEY SECRET_KEY
#
# Runs in the foreground, as any user, until it gets TERM or INT, and then ends all that it
# started. Says "ready" once the gateway answers and knows the keys. A DATA_DIR that holds a store
# is started again with what it holds, and then wants the same PORT. The ports after PORT, two of
# them, are the monitor's.
#
# Debian and Ubuntu: apt-get install --no-install-recommends ceph-mon ceph-osd radosgw
#
# One disk, one copy, and no secrets between the daemons: a store to lose, never one to keep.
set -euo pipefail

if [ $# -ne 4 ]; then
  echo "usage: $0 DATA_DIR PORT ACCESS_KEY SECRET_KEY" >&2
  exit 2
fi
data=$(realpath -m "$1")
port=$2
access_key=$3
secret_key=$4
monitors="[v2:127.0.0.1:$((port + 1)),v1:127.0.0.1:$((port + 2))]"

for program in ceph ceph-mon ceph-osd monmaptool radosgw radosgw-admin curl; do
  if ! command -v "$program" >/dev/null; then
    echo "$0: $program is not installed; install ceph-mon, ceph-osd, radosgw and curl" >&2
    exit 3
  fi
done

# Every command below reads this file, so that no /etc/ceph of this machine has a say.
export CEPH_CONF=$data/ceph.conf CEPH_ARGS="--conf $data/ceph.conf"

write_configuration() {
  cat >"$CEPH_CONF" <<CONFIGURATION
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_host = $monitors
mon_initial_members = a
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
ms_bind_ipv6 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = false
ms_mon_client_mode = crc
ms_mon_cluster_mode = crc
ms_mon_service_mode = crc
# Nothing outside the folder: by default sockets, crashes and logs go to /var.
run_dir = $data/run
admin_socket = $data/run/\$name.asok
crash_dir = $data/crash
keyring = $data/keyring
log_file = $data/log/\$name.log
log_to_stderr = false
err_to_stderr = true
# One copy on one disk, in as few placement groups as will do: each costs time at the start.
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
# A disk that is nearly full is somebody else's worry.
mon_data_avail_warn = 2
mon_data_avail_crit = 1

[mon]
mon_data = $data/mon/a
mon_memory_target = 268435456
rocksdb_cache_size = 16777216

[mon.a]
host = localhost

[osd]
osd_data = $data/osd/\$id
osd_objectstore = bluestore
# A sparse file of 20 GiB instead of a disk.
bluestore_block_size = 21474836480
bluestore_block_create = true
bluestore_block_wal_create = false
bluestore_block_db_create = false
bluestore_cache_autotune = false
bluestore_cache_size = 134217728
osd_memory_target = 939524096
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
# It would measure the disk first.
osd_mclock_skip_benchmark = true
osd_op_queue = wpq

[client.rgw.a]
rgw_data = $data/rgw
rgw_frontends = beast endpoint=127.0.0.1:$port
rgw_thread_pool_size = 32
rgw_num_rados_handles = 1
rgw_enable_usage_log = false
rgw_dynamic_resharding = false
rgw_override_bucket_index_max_shards = 1
CONFIGURATION
}

make_monitor() {
  mkdir -p "$data/mon/a"
  fsid=$(awk '$1 == "fsid" { print $3 }' "$CEPH_CONF")
  monmaptool --create --clobber --fsid "$fsid" --addv a "$monitors" "$data/monmap" >/dev/null
  ceph-mon -i a --mkfs --monmap "$data/monmap"
}

make_disk() { # needs the monitor
  mkdir -p "$data/osd/0"
  disk=$(cat /proc/sys/kernel/random/uuid)
  until timeout 20 ceph osd new "$disk" >/dev/null 2>&1; do
    kill -0 "$monitor"
    sleep 0.2
  done
  ceph-osd -i 0 --mkfs --osd-uuid "$disk"
}

make_user() { # needs the gateway: it makes the pools that users lie in
  radosgw-admin user create --uid=tester --display-name=tester \
    --access-key="$access_key" --secret-key="$secret_key" >/dev/null
}

started=()
end_all() {
  trap - EXIT
  trap '' TERM INT
  # The gateway first: the others would be waited for.
  for ((at = ${#started[@]} - 1; at >= 0; at--)); do
    kill -TERM "${started[at]}" 2>/dev/null || true
    for ((tenths = 0; tenths < 50; tenths++)); do
      kill -0 "${started[at]}" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "${started[at]}" 2>/dev/null || true
  done
}
trap end_all EXIT
trap 'exit 0' TERM INT

is_new=false
if [ ! -f "$data/made" ]; then # also where an earlier start was cut short
  is_new=true
  rm -rf "$data"/{mon,osd,rgw}
fi
mkdir -p "$data"/{mon,osd,rgw,run,log,crash}
$is_new && write_configuration

$is_new && make_monitor
ceph-mon -i a -f &
monitor=$!
started+=("$monitor")

$is_new && make_disk
ceph-osd -i 0 -f &
started+=($!)

radosgw -n client.rgw.a -f &
gateway=$!
started+=("$gateway")
until curl --silent --noproxy '*' --output /dev/null "http://127.0.0.1:$port/"; do
  kill -0 "$gateway"
  sleep 0.2
done
$is_new && make_user

touch "$data/made"
echo ready
wait "$gateway"

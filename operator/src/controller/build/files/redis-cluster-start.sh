#!/bin/sh
# Written by the operator. Starts a server of a Redis Cluster. The password goes by way of a file and not as an argument, which
# every process could read.
set -eu
umask 077
. /etc/editorcluster/cluster.sh
NODES=/data/nodes.conf

# A first start, or a volume that was lost. Each server begins with what it is itself, so that nobody has to make the
# cluster; whom else there is keep.sh tells it. Whoever was promoted meanwhile has a higher epoch, takes the slots away
# again and has this one for a replica.
if [ ! -s "$NODES" ]; then
  part="0 connected"
  if [ "$number" -lt 3 ]; then part="$((number + 1)) connected $first-$last"; fi
  echo "$(id "$REDIS_SELF") :0@0 myself,master - 0 0 $part" > "$NODES.new"
  mv "$NODES.new" "$NODES"
fi
printf 'requirepass %s\nmasterauth %s\n' "$REDIS_PASSWORD" "$REDIS_PASSWORD" > /run/redis/password.conf
cat > /run/redis/redis.conf << EOF
include /etc/editorcluster/redis.conf
cluster-enabled yes
cluster-config-file nodes.conf
cluster-announce-ip $REDIS_ADDRESS
cluster-announce-hostname $REDIS_SELF
# A primary that is missed for so long has a successor. One that is cut off for so long stops.
cluster-node-timeout 5000
# A replica that lags far behind is better than none: the gateways bring what it lacks.
cluster-replica-validity-factor 0
cluster-allow-replica-migration no
repl-diskless-sync-delay 0
EOF
/bin/sh /etc/editorcluster/keep.sh &
exec redis-server /run/redis/redis.conf

#!/bin/sh
# Written by the operator. Starts a sentinel with what it had learned and voted before; all the rest is written anew, so
# that another password takes effect. Sentinels hand out names: an address is another one after a pod's restart.
set -eu
umask 077
. /etc/editorcluster/primary.sh
CONF=/data/sentinel/sentinel.conf
LEARNED='^sentinel (monitor|config-epoch|leader-epoch|current-epoch|known-replica|known-sentinel) '

mkdir -p /data/sentinel
learned=$(grep -E "$LEARNED" "$CONF" 2> /dev/null || true)
if [ -z "$learned" ]; then
  # A first start, or a volume that was lost. When nobody knows of a primary, there has never been one.
  primary=$(named_by_most)
  if [ -z "$primary" ]; then primary=$(guessed); fi
  learned="sentinel monitor documents $primary 6379 2"
  # The primary itself may be gone before it has named them.
  for peer in $REDIS_PEERS; do
    if [ "$peer" != "$primary" ]; then
      learned="$learned
sentinel known-replica documents $peer 6379"
    fi
  done
fi
cat > "$CONF.new" << EOF
port 26379
bind * -::*
dir /data/sentinel
requirepass $REDIS_PASSWORD
sentinel myid $(printf %s "$REDIS_SELF" | sha1sum | cut -c 1-40)
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $REDIS_SELF
sentinel announce-port 26379
$learned
sentinel auth-pass documents $REDIS_PASSWORD
sentinel down-after-milliseconds documents 5000
sentinel failover-timeout documents 15000
sentinel parallel-syncs documents 1
EOF
mv "$CONF.new" "$CONF"
exec redis-server "$CONF" --sentinel

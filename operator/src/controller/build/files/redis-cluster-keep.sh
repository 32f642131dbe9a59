#!/bin/sh
# Written by the operator. Runs beside a server of a Redis Cluster for as long as it does: tells it where the others are and what
# its part is. All of this may be said twice.
set -u
. /etc/editorcluster/cluster.sh

myself=$(id "$REDIS_SELF")

# Tells the server where a peer is now, unless it reaches it. When all pods have got other addresses, nobody else can.
meet() {
  peer_id=$(id "$1")
  case "$(echo "$nodes" | grep "^$peer_id " | cut -d ' ' -f 3,8)" in
    "" | *fail* | *noaddr* | *disconnected*) ;;
    *) return ;;
  esac
  # The peer itself knows its address best. And a name that lags behind may lead to somebody else, who has another id.
  line=$(ask "$1" 6379 cluster nodes | grep "^$peer_id [^ ]* myself,")
  address=${line#* }
  address=${address%%:6379@*}
  if [ -n "$address" ]; then
    echo "meets $1 at $address: $(ask "$REDIS_ADDRESS" 6379 cluster meet "$address" 6379)"
  fi
}

# A primary without slots is new, or has lost its volume.
take_part() {
  [ "$(echo "$nodes" | grep "^$myself " | cut -d ' ' -f 3,9-)" = myself,master ] || return
  primary=$(echo "$nodes" | grep "connected $first-" | cut -d ' ' -f 1)
  if [ -n "$primary" ]; then
    echo "follows $primary: $(ask "$REDIS_ADDRESS" 6379 cluster replicate "$primary")"
  elif ask "$partner" 6379 cluster nodes | grep -q "^$myself .*connected $first-"; then
    # It was the primary a moment ago, and nobody else has become that.
    echo "is the primary still: $(ask "$REDIS_ADDRESS" 6379 cluster addslotsrange "$first" "$last")"
  fi
}

while :; do
  nodes=$(ask "$REDIS_ADDRESS" 6379 cluster nodes)
  case "$nodes" in
    *" myself,"*)
      for peer in $REDIS_PEERS; do
        if [ "$peer" != "$REDIS_SELF" ]; then meet "$peer"; fi
      done
      take_part
      ;;
  esac
  sleep 1
done

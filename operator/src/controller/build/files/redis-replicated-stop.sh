#!/bin/sh
# Written by the operator. Before the server ends: if it is the primary, another one becomes that, and this one waits for it.
set -eu
. /etc/editorcluster/primary.sh

is_primary || exit 0
for peer in $REDIS_PEERS; do
  # The own sentinel is ending as well.
  if [ "$peer" != "$REDIS_SELF" ] && [ "$(ask "$peer" 26379 sentinel failover documents)" = OK ]; then
    deadline=$(($(date +%s) + 15))
    while is_primary && [ "$(date +%s)" -lt "$deadline" ]; do sleep 1; done
    exit 0
  fi
done

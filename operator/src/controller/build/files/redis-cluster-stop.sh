#!/bin/sh
# Written by the operator. Before the server ends: if it is a primary, its replica becomes that, and this one waits for it. The
# replica is asked again, as long as it answers: servers that have not heard of it yet refuse it.
set -eu
. /etc/editorcluster/cluster.sh

deadline=$(($(date +%s) + 15))
while is_primary && [ "$(date +%s)" -lt "$deadline" ]; do
  if [ -z "$(ask "$partner" 6379 cluster failover)" ]; then exit 0; fi
  sleep 1
done

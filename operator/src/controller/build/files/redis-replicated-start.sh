#!/bin/sh
# Written by the operator. Starts a server as what the sentinels say it is. The password goes by way of a file and not as
# an argument, which every process could read.
set -eu
umask 077
. /etc/editorcluster/primary.sh

# After an outage of everything the sentinels start now, too; they remember who was the primary.
primary=$(named_by_most)
deadline=$(($(date +%s) + 60))
while [ -z "$primary" ] && [ "$(date +%s)" -lt "$deadline" ]; do
  sleep 1
  primary=$(named_by_most)
done
# A wrong guess costs no edit: a primary that no replica follows takes no writes, and the sentinels put it right.
if [ -z "$primary" ]; then primary=$(guessed); fi

printf 'requirepass %s\nmasterauth %s\n' "$REDIS_PASSWORD" "$REDIS_PASSWORD" > /run/redis/password.conf
# Its own file, which sentinels make it write when they give it another part to play.
cat > /run/redis/redis.conf << EOF
include /etc/editorcluster/redis.conf
replica-announce-ip $REDIS_SELF
# Acknowledged is what two servers will have: a primary that is cut off from the others stops.
min-replicas-to-write 1
min-replicas-max-lag 10
# Nobody can write before the first replica is there, so it does not wait for the second.
repl-diskless-sync-delay 0
EOF
if [ "$primary" = "$REDIS_SELF" ]; then
  echo "starts as the primary"
else
  echo "starts as a replica of $primary"
  echo "replicaof $primary 6379" >> /run/redis/redis.conf
fi
exec redis-server /run/redis/redis.conf

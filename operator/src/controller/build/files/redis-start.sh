#!/bin/sh
# Written by the operator. The password goes by way of a file and not as an argument, which every process could read.
set -eu
umask 077
printf 'requirepass %s\n' "$REDIS_PASSWORD" > /run/redis/password.conf
exec redis-server /etc/editorcluster/redis.conf

#!/bin/sh
# Written by the operator. Needs initdb and postgres on the PATH. Makes the database on the first start, and sets the
# role's password from the Secret on every start, so that a new Secret beside an old volume heals.
set -eu
ROLE=editorcluster
UNFINISHED="$PGDATA.unfinished"

# One SQL command a line on standard input, before anybody can connect. A Postgres that was killed leaves a lock file with
# its number, which in a container is always 1, now that of this shell: with PG_GRANDPARENT_PID its child knows that such
# a lock is stale, and without it refuses to start for ever.
single_user() {
  PG_GRANDPARENT_PID=$$ postgres --single -D "$PGDATA" "$1" > /dev/null
}

# A first start that was cut off left a part of a database, which initdb refuses to touch. Only the mark, which the
# script itself made, allows to delete it: a volume without the mark holds somebody's documents.
if [ -e "$UNFINISHED" ]; then
  rm -rf "$PGDATA"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : > "$UNFINISHED"
  initdb -D "$PGDATA" --username=postgres --encoding=UTF8 --locale=C --data-checksums --auth-local=trust \
    --auth-host=scram-sha-256 --no-instructions
  printf 'CREATE ROLE %s LOGIN\n' "$ROLE" | single_user postgres
  printf 'CREATE DATABASE %s OWNER %s\n' "$ROLE" "$ROLE" | single_user postgres
  rm -f "$UNFINISHED"
fi
# Kubernetes may have given the volume's files to a group, and Postgres refuses a directory that others can write to.
chmod 0700 "$PGDATA"
printf "ALTER ROLE %s LOGIN PASSWORD '%s'\n" "$ROLE" "$POSTGRES_PASSWORD" | single_user postgres
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql \
  -c hba_file=/etc/editorcluster/pg_hba.conf

# Written by the operator. Read by the scripts of a Redis of many servers. REDIS_SELF is this pod's name, REDIS_PEERS has the
# names of all, the first one first; redis-cli finds the password in REDISCLI_AUTH.

# What the server or sentinel on port $2 of $1 answers to the rest; nothing when it does not answer.
ask() {
  host=$1 port=$2
  shift 2
  timeout 2 redis-cli -h "$host" -p "$port" "$@" 2> /dev/null || true
}

is_primary() {
  [ "$(ask "$REDIS_SELF" 6379 role | head -n 1)" = master ]
}

# Written by the operator. Read by the scripts of a Redis Cluster. REDIS_ADDRESS is this pod's address, which is another one
# after a restart. Server 0 and server 3 have the first third of the slots, 1 and 4 the second, 2 and 5 the last: one of
# the two as its primary, the other as the replica.
. /etc/editorcluster/common.sh

pod=${REDIS_SELF%%.*}
number=${pod##*-}
case $((number % 3)) in
  0) first=0 last=5460 ;;
  1) first=5461 last=10922 ;;
  2) first=10923 last=16383 ;;
esac
set -- $REDIS_PEERS
shift $(((number + 3) % 6))
partner=$1

# The id of a server, by its name: it stays the same with another address, and without its volume.
id() {
  printf %s "$1" | sha1sum | cut -c 1-40
}

# Written by the operator. Read by the scripts of a replicated Redis.
. /etc/editorcluster/common.sh

# Whom the sentinels take for the primary, a line for each sentinel that knows one.
named() {
  for peer in $REDIS_PEERS; do
    name=$(ask "$peer" 26379 sentinel get-master-addr-by-name documents | head -n 1)
    # An error is no name.
    case " $REDIS_PEERS " in *" $name "*) echo "$name" ;; esac
  done
}

# Whom most of all sentinels take for the primary.
named_by_most() {
  named | sort | uniq -c | while read -r votes name; do
    if [ "$votes" -ge 2 ]; then echo "$name"; fi
  done
}

# Another server that takes itself for the primary.
another_primary() {
  for peer in $REDIS_PEERS; do
    if [ "$peer" != "$REDIS_SELF" ] && [ "$(ask "$peer" 6379 role | head -n 1)" = master ]; then
      echo "$peer"
      return
    fi
  done
}

# The best guess where no majority speaks.
guessed() {
  guess=$(another_primary)
  if [ -z "$guess" ]; then guess=$(named | head -n 1); fi
  echo "${guess:-${REDIS_PEERS%% *}}"
}

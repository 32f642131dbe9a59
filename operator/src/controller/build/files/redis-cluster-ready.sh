#!/bin/sh
# Written by the operator. Succeeds when the cluster works as this server sees it, and the server has its part in it: slots, or a
# primary of which it has everything.
case "$(redis-cli cluster info)" in
  cluster_state:ok*) ;;
  *) exit 1 ;;
esac
case "$(redis-cli role)" in
  master*) redis-cli cluster nodes | grep -q ' myself,master .* connected [0-9]' ;;
  *connected*) ;;
  *) exit 1 ;;
esac

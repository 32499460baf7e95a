#!/bin/sh
# Load of the redis row: fixed numbers of requests, then questions whose answers are always the same.
#
# Usage: redis_load.sh SOCKET
set -eu

benchmark() { redis-benchmark -s "$socket" --threads 1 -c 8 -P 32 -q "$@" >/dev/null; }
ask() { redis-cli -s "$socket" "$@"; }

socket=$1
# The keys are drawn at random from 2,000, so often that none is missed.
benchmark -n 40000 -r 2000 -d 500 -t set,get
benchmark -n 40000 -d 400 -t lpush
benchmark -n 40000 -r 2000 -d 60 -t sadd,hset
benchmark -n 2560 -t lrange_100

ask DBSIZE
ask GET key:000000000042 | cksum
ask LLEN mylist
ask SCARD myset
ask HLEN myhash
ask SHUTDOWN NOSAVE

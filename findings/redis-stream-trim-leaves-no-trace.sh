#!/usr/bin/env bash
# Redis Streams as a history: a reader that comes back cannot tell from what it reads that entries were trimmed in between.
#
# Redis 7.0.15 (Debian 12), entries with the ids 0-1 to 0-6, then XTRIM MAXLEN 2:
# - XREAD from 0-2 answers with 0-5 and 0-6, as if nothing had been between: no error, no mark.
# - XINFO's `max-deleted-entry-id` stays 0-0: only XDEL moves it, trimming does not. What tells is `entries-added` minus `length` (4).
# - A stream that is deleted and made again counts from 0-1: `0-*` gives an id that a reader has had before. Positions need an epoch of
#   their own, and a reader has to compare its id with the first entry before it reads.
#
# Exits with 1 when one of them behaves otherwise. The server listens on a Unix socket in a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download redis-server=5:7.0.15-1~deb12u10 redis-tools=5:7.0.15-1~deb12u10 >/dev/null 2>&1 ||
    apt-get download redis-server redis-tools >/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done
usr/bin/redis-server --port 0 --unixsocket "$folder/socket" --save '' --appendonly no >log &
server=$!
for _ in $(seq 100); do [[ -S socket ]] && break; sleep 0.1; done
redis() { usr/bin/redis-cli -s "$folder/socket" "$@"; }
redis info server | sed -n 's/\r$//; /^redis_version/p'

for number in 1 2 3 4 5 6; do redis xadd room "0-$number" data "$number" >/dev/null; done
redis xtrim room maxlen 2 >/dev/null
field() { redis xinfo stream room | grep -A1 "^$1\$" | tail -1; }
read_from_2=$(redis xread streams room 0-2 | tr '\n' ' ')
trimmed="$(field max-deleted-entry-id) $(field entries-added) $(field length)"
redis xdel room 0-5 >/dev/null
deleted=$(field max-deleted-entry-id)
redis del room >/dev/null
again=$(redis xadd room '0-*' data again)

printf 'XREAD from 0-2: %s\nafter XTRIM, max-deleted-entry-id, entries-added, length: %s\nafter XDEL, max-deleted-entry-id: %s\nthe first id of the same key, made again: %s\n' \
    "$read_from_2" "$trimmed" "$deleted" "$again"
[[ $read_from_2 == 'room 0-5 data 5 0-6 data 6 ' && $trimmed == '0-0 6 2' && $deleted == 0-5 && $again == 0-1 ]]

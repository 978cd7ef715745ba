#!/usr/bin/env bash
# JetStream: a consumer that reads a subject while `max_msgs_per_subject` trims it goes on behind what is gone without a word: its own
# sequence goes on by one, no status or advisory comes, and only the stream's sequence jumps, as it does anyway where a stream carries several
# subjects. What each message says is still pending then counts those that are gone, too, so it does not reach 0 with the last message, and
# who reads until 0 waits for messages that nobody will send. The consumer's own account (CONSUMER.INFO) is right. So a reader of one subject
# tells a hole only if each message names the one before it, or if it asks afterwards which message is the subject's first.
#
# nats-server 2.9.10 (Debian 12), nats-py 2.15.0, Python 3.11. Seen:
#   of one subject: stream sequences [1, 2, 3], then [16, 17, 18]; consumer sequences [1, 2, 3], then [4, 5, 6]
#   pending after 3: 7, after 18: 14, after 25, the last: 7
#   then, by the consumer's own account: 0
set -euo pipefail
command -v nats-server >/dev/null || { echo "needs nats-server (Debian package nats-server)" >&2; exit 69; }
folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check nats-py==2.15.0
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
nats-server -a 127.0.0.1 -p "$port" -js -sd "$folder/store" >server.log 2>&1 &
server=$!
cat >probe.py <<'EOF'
import asyncio
import sys

import nats
from nats.js.api import AckPolicy, ConsumerConfig


async def main():
    for _ in range(100):
        try:
            connection = await nats.connect(sys.argv[1], max_reconnect_attempts=0)
            break
        except Exception:
            await asyncio.sleep(0.1)
    stream = connection.jetstream()
    await stream.add_stream(name="rooms", subjects=["room.*"], max_msgs_per_subject=10)
    for number in range(10):
        await stream.publish("room.a", b"%d" % number)
    config = ConsumerConfig(ack_policy=AckPolicy.NONE)
    reader = await stream.pull_subscribe("room.a", durable="reader", config=config)
    first = [message.metadata for message in await reader.fetch(3)]
    for number in range(10, 25):
        await stream.publish("room.a", b"%d" % number)
    then = [message.metadata for message in await reader.fetch(3)]
    of_stream = [[one.sequence.stream for one in part] for part in (first, then)]
    of_consumer = [[one.sequence.consumer for one in part] for part in (first, then)]
    print("of one subject: stream sequences %s, then %s; consumer sequences %s, then %s" % (*of_stream, *of_consumer))
    rest = [message.metadata for message in await reader.fetch(7)]
    print("pending after 3: %d, after 18: %d, after %d, the last: %d" % (
        first[-1].num_pending, then[-1].num_pending, rest[-1].sequence.stream, rest[-1].num_pending))
    info = await reader.consumer_info()
    print("then, by the consumer's own account: %d" % info.num_pending)
    await connection.close()


asyncio.run(main())
EOF
timeout 60 venv/bin/python probe.py "nats://127.0.0.1:$port" | tee seen
diff seen - <<'EOF'
of one subject: stream sequences [1, 2, 3], then [16, 17, 18]; consumer sequences [1, 2, 3], then [4, 5, 6]
pending after 3: 7, after 18: 14, after 25, the last: 7
then, by the consumer's own account: 0
EOF

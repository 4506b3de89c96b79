#!/usr/bin/env python3
"""Sends changes to Tidewater with librdkafka: what a producer must set, and what it must do about errors.

    python3 -m venv .venv && .venv/bin/pip install -r docs/producers/requirements.txt
    .venv/bin/python docs/producers/produce.py --brokers 127.0.0.1:9092 --topic tidewater.changes.raw.v1 --count 10

The last line on standard output is one JSON object, {"sent": 10, "failed": 0}; the exit code is 1 if any failed.
"""

import argparse
import json
import sys
import uuid

from confluent_kafka import KafkaException, Producer

SETTINGS = {
    # Java's partitioner. librdkafka's own default puts a key into another partition, and the change is `misplaced`.
    "partitioner": "murmur2_random",
    # A record that is sent again is neither written twice nor overtaken by the next one of its user.
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": 5,
}


class Changes:
    """Sends changes and counts what became of them."""

    def __init__(self, brokers, topic):
        self.topic = topic
        self.sent = 0
        self.failed = 0
        self.producer = Producer({"bootstrap.servers": brokers, **SETTINGS})

    def send(self, change):
        # The key is the user id, byte for byte.
        key, value = change["user_id"].encode(), json.dumps(change, ensure_ascii=False).encode()
        while True:
            try:
                self.producer.produce(self.topic, key=key, value=value, on_delivery=self.delivered)
                break
            except BufferError:
                # The client's queue is full: let it work. Never drop.
                self.producer.poll(0.1)
        self.sent += 1
        self.producer.poll(0)

    def delivered(self, error, record):
        """Told once per change. librdkafka has tried again by itself, for `message.timeout.ms` (5 minutes)."""
        if error is None:
            return
        self.failed += 1
        # It may have been written all the same. Send it again with the same id, and before anything newer of its user.
        # The key is left out of the message: it is user data.
        print(f"a change for partition {record.partition()} was not confirmed: {error.str()}", file=sys.stderr)

    def close(self):
        """Waits until every change was confirmed or given up."""
        self.producer.flush()


def example(number):
    """One of the changes that an application might send."""
    user_id = ("ada", "user-%d", "Grüße-%d", "世界-%d")[number % 4].replace("%d", str(number // 4 % 50))
    change = {"id": str(uuid.uuid4()), "user_id": user_id, "source": "produce.py"}
    if number % 10 == 9:
        return {**change, "op": "delete"}
    if number % 10 == 0:
        return {**change, "op": "upsert", "set": {"name": f"User {number}", "country": "ch", "plan": "pro"}}
    # Null clears a field; one that is not named stays as it is.
    return {**change, "op": "patch", "set": {"email": f"user{number}@EXAMPLE.com", "phone": None}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brokers", required=True, help="host:port, separated by commas")
    parser.add_argument("--topic", default="tidewater.changes.raw.v1")
    parser.add_argument("--count", type=int, default=10)
    arguments = parser.parse_args()
    changes = Changes(arguments.brokers, arguments.topic)
    try:
        for number in range(arguments.count):
            changes.send(example(number))
    except KafkaException as error:
        # Not this change but the producer is the matter (fatal, or no such topic): a new one is needed.
        print(f"the producer cannot go on: {error.args[0].str()}", file=sys.stderr)
        return 1
    finally:
        changes.close()
    print(json.dumps({"sent": changes.sent, "failed": changes.failed}))
    return 1 if changes.failed else 0


if __name__ == "__main__":
    sys.exit(main())

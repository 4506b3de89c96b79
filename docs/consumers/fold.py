#!/usr/bin/env python3
"""Reads `enriched` from its start to its end and prints what is known of each user: the rule a data team must keep.

    python3 -m venv .venv && .venv/bin/pip install -r docs/consumers/requirements.txt
    .venv/bin/python docs/consumers/fold.py --brokers 127.0.0.1:9092 --schemas schemas/avro/history

One JSON object a line for each user who is not deleted, in the order of tenant and user id.
"""

import argparse
import io
import json
import pathlib
import sys

import fastavro
from confluent_kafka import Consumer, KafkaException, TopicPartition


class Schemas:
    """Schemas by the fingerprint that stands at the start of a record."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.known = {}

    def read(self, record):
        if record[:2] != b"\xc3\x01":
            raise ValueError("not a single object of Avro")
        fingerprint = record[2:10].hex()
        if fingerprint not in self.known:
            text = (self.folder / f"{fingerprint}.avsc").read_text()
            self.known[fingerprint] = fastavro.parse_schema(json.loads(text))
        return fastavro.schemaless_reader(io.BytesIO(record[10:]), self.known[fingerprint])


class User:
    """What is known of one user. Records may come twice, and step back in version: the end is the same."""

    def __init__(self):
        self.live = 0  # version of the last upsert
        self.dead = 0  # version of the last delete
        self.fields = {}  # name -> (version, value); None is a field that was cleared

    def take(self, change):
        version, op = change["version"], change["op"]
        named = {name: value for name, value in (change["set"] or {}).items() if value is not None}
        named.update((name, None) for name in change["unset"])
        if op == "upsert":
            self.live = max(self.live, version)
        if op == "delete":
            self.dead = max(self.dead, version)
        # An upsert or delete clears everything at or below it, also what comes later from further back.
        erased = max(self.live, self.dead)
        if op != "patch":
            self.fields = {name: cell for name, cell in self.fields.items() if cell[0] > version}
        for name, value in named.items():
            covered = version < erased or (op == "patch" and version == erased)
            if not covered and version > self.fields.get(name, (0, None))[0]:
                self.fields[name] = (version, value)

    def profile(self):
        """None if the user is deleted: a patch does not bring one back."""
        if self.dead > self.live:
            return None
        return {name: value for name, (_, value) in sorted(self.fields.items()) if value is not None}


def records(brokers, topic):
    """Every record from the start of the topic to where it ended when we began."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "none", "enable.auto.commit": False})
    try:
        found = consumer.list_topics(topic, timeout=10).topics[topic]
        if found.error:
            raise KafkaException(found.error)
        ends = {}
        for partition in found.partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            if high > low:
                ends[partition] = (low, high)
        consumer.assign([TopicPartition(topic, partition, low) for partition, (low, _) in ends.items()])
        while ends:
            record = consumer.poll(1.0)
            if record is None:
                continue
            if record.error():
                raise KafkaException(record.error())
            if record.offset() < ends.get(record.partition(), (0, 0))[1]:
                yield record.value()
            if record.offset() + 1 >= ends.get(record.partition(), (0, sys.maxsize))[1]:
                del ends[record.partition()]
    finally:
        consumer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brokers", required=True, help="host:port, separated by commas")
    parser.add_argument("--topic", default="tidewater.changes.enriched.v1")
    parser.add_argument("--schemas", required=True, help="schemas/avro/history of the project")
    arguments = parser.parse_args()
    schemas, users = Schemas(arguments.schemas), {}
    for value in records(arguments.brokers, arguments.topic):
        change = schemas.read(value)
        users.setdefault((change["tenant"], change["user_id"]), User()).take(change)
    for (tenant, user_id), user in sorted(users.items()):
        profile = user.profile()
        if profile is not None:
            print(json.dumps({"tenant": tenant, "user_id": user_id, "profile": profile}, ensure_ascii=False, default=str))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Real, messy user changes out of what a Debian-like system carries anyway: the changelogs of its packages.

Prints one JSON object a line. The first names the source: {"source": …, "changes": …, "users": …}. Each further line is one raw
change, oldest first, as it should go to Kafka: {"key": text or null, "value": text}, or "value_base64" where the bytes are not UTF-8.
Broken input stays broken on purpose: a date that is none, an address that is missing, a name in another encoding. README.md has more.
"""

import argparse
import base64
import glob
import gzip
import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

CHANGELOGS = "/usr/share/doc/*/changelog.Debian.gz"

# What somebody wrote, as bytes. `when` is an aware datetime, or None where `date` is not a date; `address` is None where there is none.
Entry = namedtuple("Entry", "name address date when leaves")

HEADING = re.compile(rb"^[A-Za-z0-9][A-Za-z0-9+.~-]* \([^)]*\)", re.M)
TRAILER = re.compile(rb"^ {0,2}-- ?(?P<name>[^<\n]*)(?:<(?P<address>[^>\n]*)>?)?(?P<date>[^\n]*)$", re.M)
# Who says so leaves: an entry that hands the package to nobody, or takes its own author off the list.
LEAVES = re.compile(
    rb"^ *\* *orphan(?:ed|ing)?\b[^.\n]{0,20}\bpackage\b|\bset(?:ting)? +maintainer\b[^.\n]{0,20}\bQA\b"
    rb"|\b(?:remov|dropp?)(?:e|ed|ing)? +(?:myself|me)\b[^.\n]{0,20}\b(?:uploaders|maintainers?)\b",
    re.I | re.M,
)


def entries_of_changelogs(pattern):
    """Every distinct entry of all changelogs, oldest first. The same entry in several packages of one source is one entry."""
    seen, placed = set(), []
    for path in sorted(glob.glob(pattern)):
        with gzip.open(path) as file:
            text = file.read()
        starts = [match.start() for match in HEADING.finditer(text)]
        latest = datetime.min.replace(tzinfo=timezone.utc)
        # Files are newest first. An entry without a usable date keeps its place behind its predecessor in the file.
        for start, end in reversed(list(zip(starts, starts[1:] + [len(text)]))):
            content = text[start:end].strip()
            entry = entry_of(content)
            latest = entry.when or latest
            digest = hashlib.sha256(content).digest()
            if digest not in seen:
                seen.add(digest)
                placed.append((latest, len(placed), entry))
    return [entry for _, _, entry in sorted(placed, key=lambda each: each[:2])]


def entry_of(content):
    """One entry by its last trailer line: ` -- Name <address>  date`, as far as it is there."""
    trailer = None
    for trailer in TRAILER.finditer(content):
        pass
    if trailer is None:
        return Entry(b"", None, b"", None, leaves=False)
    date = trailer["date"].strip()
    address = trailer["address"].strip() if trailer["address"] is not None else None
    return Entry(trailer["name"].strip(), address, date, instant(date), leaves=bool(LEAVES.search(content)))


def instant(date):
    """The moment in UTC, or None for a date that is none."""
    try:
        when = parsedate_to_datetime(date.decode("ascii"))
        return when.astimezone(timezone.utc) if when.tzinfo else when.replace(tzinfo=timezone.utc)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def entries_of_git(repository):
    """Every commit that the checked-out history has, oldest first; a commit that takes its author off a list makes him leave."""
    log = ["git", "-C", repository, "log", "--reverse", "--date-order", "-z", "--format=%an%n%ae%n%aI%n%B"]
    output = subprocess.run(log, stdout=subprocess.PIPE, check=True).stdout
    for commit in filter(None, output.split(b"\0")):
        name, address, date, message = (commit.split(b"\n", 3) + [b""])[:4]
        try:
            when = datetime.fromisoformat(date.decode("ascii").replace("Z", "+00:00"))
        except ValueError:
            when = None
        yield Entry(name, address, date, when, leaves=bool(LEAVES.search(message)))


def entries_of_generator(seed, count):
    """Invented entries that are wrong in the same ways and about as often as real ones. One seed gives the same entries everywhere."""
    dice = random.Random(seed)
    first = "Ada Grażyna José Nikolaï 明美 Олена Ngọc Zoë Søren Γιώργος María Łukasz".split()
    last = "Lovelace Wójcik Ñañez 山田 Шевченко Nguyễn O'Brien Ångström Παππάς van_der_Berg Iñíguez".split()
    people = max(1, count // 20)
    when = datetime(2001, 1, 1, tzinfo=timezone.utc)
    for _ in range(count):
        person = min(int(dice.paretovariate(0.8)), people)
        pick = random.Random(f"{seed}/{person}")
        name = f"{pick.choice(first)} {pick.choice(last)}".replace("_", " ").encode()
        address = f"user{person}@example.org".encode()
        when += timedelta(seconds=dice.randrange(1, 3600))
        local = when.astimezone(timezone(timedelta(minutes=30 * dice.randrange(-20, 25))))
        date, fate = local.strftime("%a, %d %b %Y %H:%M:%S %z").encode(), dice.random()
        if fate < 0.002:
            yield Entry(b"Andr\xe9 M\xfcller", address, date, local, leaves=False)
        elif fate < 0.004:
            yield Entry(name, None, date, local, leaves=False)
        elif fate < 0.006:
            yield Entry(name, address, b"Mon,  23 Brumaire 12:00", None, leaves=False)
        elif fate < 0.008:
            yield Entry(name, b"https://example.org/~" + address, date, local, leaves=False)
        else:
            yield Entry(name, address, date, local, leaves=fate > 0.995)


def user_of(address, repetition):
    """The user id: a hash, so that no address becomes a key; each repetition of the input has users of its own."""
    digest = hashlib.sha256(b"tidewater/debian-changelogs/" + address.lower()).hexdigest()[:20]
    return digest if repetition == 1 else f"{digest}-{repetition}"


def change_of(entry, repetition, source):
    """The change as (key, value bytes). Without an address there is neither key nor user_id, and the pipeline has to say so."""
    key = user_of(entry.address, repetition) if entry.address is not None else None
    change = {"user_id": key} if key else {}
    if entry.leaves:
        change["op"] = "delete"
    else:
        seen = rfc3339(entry.when) if entry.when else raw_text(entry.date)
        given = {"name": raw_text(entry.name), "email": raw_text(entry.address or b""), "last_seen_at": seen}
        # A name or address that is not there is not named; a date that is no date is, or nobody would notice.
        change |= {"op": "patch", "set": {field: text for field, text in given.items() if text or field == "last_seen_at"}}
    if entry.when:
        change["occurred_at"] = rfc3339(entry.when)
    change["source"] = source
    # Surrogates are the bytes that were no UTF-8: they go out as the bytes they were.
    return key, json.dumps(change, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")


def rfc3339(when):
    return when.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def raw_text(data):
    return data.decode("utf-8", "surrogateescape")


def line_of(key, value):
    try:
        return json.dumps({"key": key, "value": value.decode("utf-8")}, ensure_ascii=False)
    except UnicodeDecodeError:
        return json.dumps({"key": key, "value_base64": base64.b64encode(value).decode("ascii")})


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", choices=["debian-changelogs", "git-log", "generator"],
                        help="default: the first of these that there is; git-log needs --git")
    parser.add_argument("--changelogs", default=CHANGELOGS, metavar="GLOB", help="where they are (default: %(default)s)")
    parser.add_argument("--git", metavar="PATH", help="a repository whose log stands in where there are no changelogs")
    parser.add_argument("--seed", type=int, default=1, help="of the generator (default: %(default)s)")
    parser.add_argument("--count", type=int, default=10_000, help="changes of the generator (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=1, metavar="N",
                        help="the whole input N times, each time with other users: more users, histories as long as they were")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first (oldest) N changes")
    given = parser.parse_args()
    if given.source is None:
        given.source = "debian-changelogs" if glob.glob(given.changelogs) else "git-log" if given.git else "generator"
    if given.source == "git-log" and not given.git:
        parser.error("git-log needs a repository: --git PATH")
    return given


def main():
    given = arguments()
    if given.source == "debian-changelogs":
        entries = entries_of_changelogs(given.changelogs)
    elif given.source == "git-log":
        entries = list(entries_of_git(given.git))
    else:
        entries = list(entries_of_generator(given.seed, given.count))
    total = len(entries) * given.repeat
    if given.limit is not None:
        total = min(total, given.limit)
    places = [(1 + index // len(entries), entries[index % len(entries)]) for index in range(total)]
    users = {(repetition, entry.address.lower()) for repetition, entry in places if entry.address is not None}
    out = open(sys.stdout.fileno(), "w", encoding="utf-8", newline="\n")
    print(json.dumps({"source": given.source, "changes": total, "users": len(users)}), file=out)
    for repetition, entry in places:
        print(line_of(*change_of(entry, repetition, given.source)), file=out)
    out.flush()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        # The reader has had enough: no traceback, and no second complaint when Python closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

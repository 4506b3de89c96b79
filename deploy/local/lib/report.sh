# shellcheck shell=bash
# What people are told, always on stderr: stdout belongs to results.

report() { printf 'stack: %s\n' "$*" >&2; }

# Wrong usage, or something this machine lacks. The message says what to do next.
usage_error() {
  report "$*"
  exit 64
}

# A server did not do what it must.
failure() {
  report "$*"
  exit 70
}

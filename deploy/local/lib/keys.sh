# shellcheck shell=bash
# The Redis of the idempotency keys: one server with an append-only file.

keys_run() {
  exec redis-server "$stack_home/conf/keys.conf" --bind 127.0.0.1 --port "${port[keys]}" --dir "$dir/data/keys" --daemonize no
}

keys_answers() { redis_answers keys; }

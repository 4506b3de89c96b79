# shellcheck shell=bash
# Redis: one server, a cache without persistence.

redis_run() {
  exec redis-server "$stack_home/conf/redis.conf" --bind 127.0.0.1 --port "${port[redis]}" --dir "$dir/data/redis" --daemonize no
}

# redis_answers NAME: PING is answered with PONG, which a server that is still loading does not say.
redis_answers() (
  { exec 3<>"/dev/tcp/127.0.0.1/${port[$1]}"; } 2>/dev/null || exit 1
  printf 'PING\r\n' >&3
  reply=$(timeout 2 head -c 5 <&3 || true)
  [[ $reply == +PONG ]]
)

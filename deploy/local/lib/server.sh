# shellcheck shell=bash
# One server of an instance, whatever its kind. Each kind brings NAME_run, which becomes the server, and NAME_answers, which is true
# when it answers a client; `kafka-2` is of the kind kafka.

declare -A log_start=()
launched=()

kind() { printf '%s' "${1%%-*}"; }

# server_names WORD...: one name a line; `kafka` stands for all brokers, `cassandra` for all nodes.
server_names() {
  local word number
  for word in "$@"; do
    case $word in
      kafka) for ((number = 1; number <= brokers; number++)); do echo "kafka-$number"; done ;;
      cassandra) for ((number = 1; number <= nodes; number++)); do echo "cassandra-$number"; done ;;
      kafka-[1-9] | cassandra-[1-9] | redis | keys) echo "$word" ;;
      *) usage_error "no server \`$word\`: kafka, kafka-1, cassandra, cassandra-1, redis, keys" ;;
    esac
  done
}

# server_port_names NAME: the ports that it listens on, each by the name it has in `port`; the clients' comes first.
server_port_names() {
  case $1 in
    kafka-*) echo "$1 controller-${1#kafka-}" ;;
    cassandra-1) echo "cassandra storage jmx-1" ;;
    # The others have the clients' and the ring's port from the first, at an address of their own.
    cassandra-*) echo "jmx-${1#cassandra-}" ;;
    redis | keys) echo "$1" ;;
  esac
}

# server_assign NAME: keeps the ports of an earlier run if they are free, so that clients find it again; else new ones.
server_assign() {
  local -a names old=() new
  local name
  read -ra names <<<"$(server_port_names "$1")"
  for name in "${names[@]}"; do old+=(${port[$name]:+"${port[$name]}"}); done
  if ((${#old[@]})) && port_reclaim "$entry/ports" "${old[@]}"; then return 0; fi
  mapfile -t new < <(port_reserve "$entry/ports" "${#names[@]}")
  for name in "${!names[@]}"; do port[${names[$name]}]=${new[$name]}; done
}

# server_start NAME...: begins to start those that do not run.
server_start() {
  local name
  for name in "$@"; do
    alive "$entry/$name.process" && continue
    rm -f "$entry/$name.process"
    mkdir -p "$dir/data/$name"
    if [[ $name != redis && $name != keys ]]; then "$(kind "$name")_configure" "$name"; fi
    log_start[$name]=$(stat -c %s "$dir/logs/$name.log" 2>/dev/null || echo 0)
    launched+=("$name")
    setsid "$stack_home/stack" launch "$dir" "$name" </dev/null >>"$dir/logs/$name.log" 2>&1 &
  done
}

# server_launch DIR NAME: runs in a session of its own; see instance.sh for why the record comes before the look at `closing`.
server_launch() {
  instance_at "$1"
  record "$entry/$2.process" $$ || exit 0
  [[ ! -e $entry/closing ]] || exit 0
  settings_read
  cd "$dir/logs" || exit 0
  "$(kind "$2")_run" "$2"
}

# server_await MOVES NAME...: until each answers. A server whose port somebody took in between gets another one, MOVES times in all.
server_await() {
  local deadline=$((SECONDS + ${TIDEWATER_START_SECONDS:-180})) began=${EPOCHREALTIME/[.,]/} moves=$1 name
  shift
  local -a pending=("$@") silent
  while ((${#pending[@]})); do
    silent=()
    for name in "${pending[@]}"; do
      if alive "$entry/$name.process" && "$(kind "$name")_answers" "$name"; then
        report "$name answers on $(server_address "$name") after $(((${EPOCHREALTIME/[.,]/} - began) / 1000)) ms"
        continue
      fi
      silent+=("$name")
      if [[ -e $entry/$name.process ]] && ! alive "$entry/$name.process"; then
        if ! port_was_taken "$name" || ((moves-- <= 0)); then server_failed "$name" "ended instead of answering"; fi
        server_move "$name"
      fi
      ((SECONDS < deadline)) || server_failed "$name" "does not answer after ${TIDEWATER_START_SECONDS:-180} s"
    done
    pending=("${silent[@]}")
    ((${#pending[@]} == 0)) || sleep 0.1
  done
}

server_log() { tail -c "+$((${log_start[$1]:-0} + 1))" "$dir/logs/$1.log" 2>/dev/null; }

# Not `grep -q`: it would leave before the log has been read, and the pipe would count as failed.
port_was_taken() { server_log "$1" | grep -iE 'already in use|in use by another process' >/dev/null; }

server_failed() {
  server_log "$1" | tail -n 25 >&2 || true
  failure "$1 $2; above are the last lines of its log ($dir/logs/$1.log)"
}

# server_address NAME: where clients find it.
server_address() {
  case $1 in
    cassandra-*) printf '%s:%s' "$(cassandra_host "$1")" "${port[cassandra]}" ;;
    *) printf '127.0.0.1:%s' "${port[$1]}" ;;
  esac
}

# server_move NAME: other ports for it and its like (a broker's controller port is in the settings of all brokers), then again.
server_move() {
  local name owned
  local -a like=()
  for name in "${servers[@]}"; do [[ $(kind "$name") != "$(kind "$1")" ]] || like+=("$name"); done
  report "a port of $1 was taken meanwhile: trying others"
  for name in "${like[@]}"; do
    end_groups 10 "$entry/$name.process"
    for owned in $(server_port_names "$name"); do unset "port[$owned]"; done
    server_assign "$name"
  done
  settings_write
  server_start "${like[@]}"
}

# server_state NAME: answers, silent (alive, and no answer), paused or ended.
server_state() {
  local pid
  pid=$(recorded "$entry/$1.process") || {
    echo ended
    return 0
  }
  if grep -qE '^State:\s+[tT]' "/proc/$pid/status" 2>/dev/null; then
    echo paused
  elif "$(kind "$1")_answers" "$1"; then
    echo answers
  else
    echo silent
  fi
}

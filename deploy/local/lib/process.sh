# shellcheck shell=bash
# Processes by pid AND birth: a pid alone may have been given to somebody else since. A record is a file "pid birth boot" in the
# registry directory of an instance; nothing is ever signalled but what a record names and /proc still confirms.

# Caller's descriptors above stderr would live on in the servers and keep pipes and locks open.
close_inherited() {
  local fd
  for fd in "/proc/$$/fd"/*; do
    fd=${fd##*/}
    if ((fd > 2 && fd < 255)); then eval "exec $fd>&-"; fi
  done
}

# birth PID: ticks since boot at which the process started; fails for one that is gone or only waits to be reaped.
birth() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  local -a field
  read -ra field <<<"${stat##*) }"
  [[ ${field[0]} != Z && ${field[0]} != X ]] || return 1
  printf '%s' "${field[19]}"
}

boot() { cat /proc/sys/kernel/random/boot_id; }

# record FILE PID
record() {
  local birth
  birth=$(birth "$2") || return 1
  printf '%s %s %s\n' "$2" "$birth" "$(boot)" >"$1.$$" || return 1
  mv -f "$1.$$" "$1"
}

# recorded FILE: the pid, if the process that was recorded is alive.
recorded() {
  local pid born booted
  { read -r pid born booted <"$1"; } 2>/dev/null || return 1
  [[ $(birth "$pid") == "$born" && $(boot) == "$booted" ]] || return 1
  printf '%s' "$pid"
}

alive() { recorded "$1" >/dev/null; }

# signal_process FILE SIGNAL: to that process; signal_group: to it and what it started (it leads its own session).
signal_process() {
  local pid
  pid=$(recorded "$1") || return 0
  kill -s "$2" -- "$pid" 2>/dev/null || true
}

signal_group() {
  local pid
  pid=$(recorded "$1") || return 0
  kill -s "$2" -- "-$pid" 2>/dev/null || true
}

# wait_gone SECONDS FILE...: true once none of them is alive.
wait_gone() {
  local deadline=$((SECONDS + $1)) file
  shift
  for file in "$@"; do
    while alive "$file"; do
      ((SECONDS < deadline)) || return 1
      sleep 0.05
    done
  done
}

# end_groups SECONDS FILE...: TERM to all at once, KILL to those that have not ended in time. A paused process hears TERM too.
end_groups() {
  local seconds=$1 file
  shift
  for file in "$@"; do
    signal_group "$file" TERM
    signal_group "$file" CONT
  done
  wait_gone "$seconds" "$@" && return 0
  for file in "$@"; do signal_group "$file" KILL; done
  wait_gone 10 "$@" || failure "some process survives SIGKILL; see $*"
}

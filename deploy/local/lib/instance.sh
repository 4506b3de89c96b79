# shellcheck shell=bash
# An instance: one directory (DIR: data, logs, conf, settings, env) and one entry in the registry below the cache, which holds its
# process records and port reservations. The entry is apart from DIR so that servers are found even when somebody removed DIR.
#
# Order that leaves no server behind: a launcher writes its record and THEN looks for `closing`; taking down writes `closing` and THEN
# reads the records. Whichever comes first, a launcher either sees `closing` and goes, or is seen and ended.

declare -A port=()
servers=() started=() keep=no brokers=1 nodes=1 commitlog=periodic jit=quick java=
dir='' entry=''

# instance_at DIR: sets dir and entry, whether or not anything is there.
instance_at() {
  dir=$(realpath -m -- "$1")
  [[ $dir =~ ^[A-Za-z0-9/._+@%=,-]+$ ]] ||
    usage_error "a directory for servers needs a plain path (letters, digits, / . _ + @ % = , -): $dir"
  entry=$registry/$(printf '%s' "$dir" | sha256sum | cut -c1-16)
}

# instance_only: the single instance there is, for callers who gave no --dir.
instance_only() {
  local found=("$registry"/*/dir)
  case ${#found[@]} in
    0) return 1 ;;
    1) instance_at "$(<"${found[0]}")" ;;
    *) usage_error "several instances run; say which with --dir:" "$(printf '\n  %s' "$(cat "${found[@]}")")" ;;
  esac
}

# instance_lock: up and down of one directory follow each other; the descriptor is held until the script ends. The lock files are a
# fixed few, shared by hash, so that they need no removing.
instance_lock() {
  mkdir -p "$registry"
  local bucket=${entry##*/}
  exec {instance_fd}>"$registry/lock-${bucket:0:2}"
  flock "$@" "$instance_fd"
}

# The settings are what a later start of the same servers needs: written whole at each change, read by every verb.
settings_write() {
  {
    declare -p servers brokers nodes commitlog jit java
    # `declare -gA`: read from inside a function, a plain declare would make it local there.
    declare -p port | sed 's/^declare -A/declare -gA/'
  } | sed 's/^declare -a /declare -ga /; s/^declare -- /declare -g /' >"$dir/settings.$$"
  mv -f "$dir/settings.$$" "$dir/settings"
}

settings_read() {
  # shellcheck source=/dev/null
  source "$dir/settings"
}

# env_write: the promise of `up`; written last and in one step, so that whoever finds it may connect.
env_write() {
  local name brokers='' nodes=''
  {
    for name in "${servers[@]}"; do
      case $name in
        kafka-*) brokers+=${brokers:+,}127.0.0.1:${port[$name]} ;;
        cassandra-*) nodes+=${nodes:+,}$(cassandra_host "$name"):${port[cassandra]} ;;
        redis) echo "REDIS_URL=redis://127.0.0.1:${port[redis]}" ;;
        keys) echo "KEYS_URL=redis://127.0.0.1:${port[keys]}" ;;
      esac
    done
    [[ -z $brokers ]] || echo "KAFKA_BROKERS=$brokers"
    [[ -z $nodes ]] || echo "CASSANDRA_NODES=$nodes"
    echo "STACK_DIR=$dir"
  } >"$dir/env.$$"
  mv -f "$dir/env.$$" "$dir/env"
}

# instance_take_down KEEP: ends what the records name; removes data and all unless KEEP is yes. The caller holds the lock.
instance_take_down() {
  local keep=$1 file records=()
  [[ -d $entry ]] || return 0
  touch "$entry/closing"
  for file in "$entry"/*.process; do
    case ${file##*/} in
      up.process | owner.process) ;;
      guard.process) [[ $(recorded "$file" || true) == "$$" ]] || records+=("$file") ;;
      *) records+=("$file") ;;
    esac
  done
  end_groups 15 "${records[@]}"
  rm -f "$dir/env"
  if [[ $keep != yes ]]; then
    # A server's last child may still have been writing: once more, then.
    rm -rf "$dir"/{data,logs,conf,settings} 2>/dev/null || { sleep 0.5 && rm -rf "$dir"/{data,logs,conf,settings}; }
    rmdir "$dir" 2>/dev/null || true
  fi
  rm -rf "$entry"
}

# instance_is_stale: nobody looks after it any more, and somebody was meant to.
instance_is_stale() {
  [[ -r $entry/dir ]] || return 1
  ! alive "$entry/up.process" && ! alive "$entry/guard.process" || return 1
  [[ -d $dir ]] || return 0
  if [[ -e $entry/owner.process ]]; then ! alive "$entry/owner.process"; else [[ -e $entry/up.process ]]; fi
}

# instances_sweep: takes down what was left by a crash that took its guard along. Data of such an instance has no owner either.
instances_sweep() {
  local file
  for file in "$registry"/*/dir; do
    (
      instance_at "$(cat "$file")"
      instance_is_stale || exit 0
      instance_lock -n || exit 0
      instance_is_stale || exit 0
      report "taking down what a crash left at $dir"
      instance_take_down no
    )
  done
}

# shellcheck shell=bash
# The verbs, as people and programs call them.

# options_read ARGUMENTS: takes --dir and whatever else the verb allows (names in `allowed`) into option_*; the rest is `words`.
declare -A option=()
words=()
options_read() {
  local allowed=" $1 " name
  shift
  option=() words=()
  while (($#)); do
    case $1 in
      --keep-data)
        [[ $allowed == *" keep-data "* ]] || usage_error "no option $1 here; see \`stack help\`"
        option[keep-data]=yes
        ;;
      --*)
        name=${1#--}
        [[ $allowed == *" $name "* ]] || usage_error "no option $1 here; see \`stack help\`"
        (($# > 1)) || usage_error "$1 needs a value; see \`stack help\`"
        option[$name]=$2
        shift
        ;;
      *) words+=("$1") ;;
    esac
    shift
  done
}

# instance_asked: the instance of --dir, or the only one; fails when there is none.
instance_asked() {
  if [[ -n ${option[dir]:-} ]]; then instance_at "${option[dir]}"; else instance_only || return 1; fi
  [[ -d $entry ]]
}

# instance_required: the same for verbs that make no sense without one.
instance_required() {
  instance_asked || usage_error "no servers run${dir:+ at $dir}; \`stack up\` starts them"
  settings_read
}

verb_fetch() {
  options_read "" "$@"
  needs kafka cassandra redis keys
  jar_directory
  echo
}

verb_up() {
  options_read "dir owner brokers nodes commitlog jit" "$@"
  mkdir -p "$registry"
  instances_sweep
  [[ -n ${option[dir]:-} ]] || option[dir]=$(mktemp -d "${TMPDIR:-/tmp}/tidewater-XXXXXX")
  instance_at "${option[dir]}"
  instance_lock
  up_settings
  up_register
  guard_start
  needs "${servers[@]}"
  local name
  for name in "${started[@]}"; do server_assign "$name"; done
  settings_write
  server_start "${started[@]}"
  server_await 3 "${servers[@]}"
  env_write
  rm "$entry/up.process"
  trap - EXIT INT TERM HUP
  cat "$dir/env"
}

# up_settings: what an earlier `up` of this directory settled, then what this one asks. Wrong usage ends here and touches nothing.
up_settings() {
  local asked name owner=${option[owner]:-}
  keep=no started=()
  if [[ -r $dir/settings ]]; then
    keep=yes
    settings_read
    [[ ${option[brokers]:-$brokers} == "$brokers" ]] || usage_error "$dir holds a Kafka of $brokers brokers, which is for life"
    [[ ${option[nodes]:-$nodes} == "$nodes" ]] || usage_error "$dir holds a Cassandra of $nodes nodes, which is for life"
  elif [[ -n $(ls -A "$dir" 2>/dev/null) ]]; then
    usage_error "$dir holds something else; give an empty or a new directory"
  fi
  brokers=${option[brokers]:-$brokers} nodes=${option[nodes]:-$nodes} commitlog=${option[commitlog]:-$commitlog} jit=${option[jit]:-$jit}
  [[ $brokers =~ ^[1-9]$ ]] || usage_error "--brokers takes 1 to 9"
  [[ $nodes =~ ^[1-9]$ ]] || usage_error "--nodes takes 1 to 9"
  [[ $commitlog =~ ^(periodic|batch)$ ]] || usage_error "--commitlog takes periodic or batch"
  [[ $jit =~ ^(quick|full)$ ]] || usage_error "--jit takes quick or full"
  if [[ -n $owner && (! $owner =~ ^[0-9]+$ || -z $(birth "$owner" || true)) ]]; then usage_error "--owner $owner is no running process"; fi
  if ((${#words[@]} + ${#servers[@]} == 0)); then words=(kafka cassandra redis keys); fi
  asked=$(server_names "${words[@]}")
  mapfile -t servers < <(printf '%s\n' "${servers[@]}" "$asked" | grep . | sort -u)
  for name in "${servers[@]}"; do alive "$entry/$name.process" || started+=("$name"); done
}

# up_register: from here on the instance is known, and what this `up` started goes down again if it does not succeed.
up_register() {
  trap up_abandon EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  [[ -d $entry ]] || rm -f "$dir/env"
  mkdir -p "$entry" "$dir"/{conf,data,logs}
  record "$entry/up.process" $$
  rm -f "$entry/closing"
  if [[ -n ${option[owner]:-} ]]; then record "$entry/owner.process" "${option[owner]}"; fi
  echo "$dir" >"$entry/dir"
}

# up_end_started: a launcher may not have written its record yet; without one there would be nothing to end.
up_end_started() {
  local name try
  local -a records=()
  for name in "${launched[@]}"; do
    for try in {1..200}; do [[ ! -e $entry/$name.process ]] || break; sleep 0.02; done
    records+=("$entry/$name.process")
  done
  end_groups 15 "${records[@]}"
}

up_abandon() {
  local code=$?
  trap '' INT TERM HUP
  trap - EXIT
  if [[ -n $jars_pid ]]; then kill "$jars_pid" 2>/dev/null || true; fi
  if [[ -e $dir/env ]]; then
    report "taking down again what was started at $dir"
    up_end_started
    rm -f "$entry/up.process"
  else
    report "taking everything at $dir down again"
    instance_take_down "$keep"
  fi
  exit "$code"
}

verb_down() {
  options_read "dir keep-data" "$@"
  instance_asked || {
    report "no servers run${dir:+ at $dir}: nothing to take down"
    return 0
  }
  signal_process "$entry/up.process" TERM
  instance_lock
  instance_take_down "${option[keep-data]:-no}"
  report "$dir is down"
}

verb_status() {
  options_read "dir" "$@"
  local file
  if [[ -n ${option[dir]:-} ]]; then
    instance_required
    status_of
  else
    for file in "$registry"/*/dir; do (instance_at "$(<"$file")" && settings_read && status_of); done
  fi
}

status_of() {
  local name pid memory
  echo "$dir"
  for name in "${servers[@]}"; do
    pid=$(recorded "$entry/$name.process") || pid=-
    memory=$(awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$pid/status" 2>/dev/null || echo 0)
    printf '  %-11s %-8s pid %-8s %-15s %4s MiB\n' "$name" "$(server_state "$name")" "$pid" "$(server_address "$name")" "$memory"
  done
}

verb_env() {
  options_read "dir" "$@"
  instance_required
  cat "$dir/env"
}

verb_nodetool() {
  # Its own arguments may look like options of this script: only a leading --dir is ours.
  if [[ ${1:-} == --dir ]]; then
    options_read "dir" "${@:1:2}"
    shift 2
  else
    options_read "dir"
  fi
  instance_required
  local node=cassandra-1
  if [[ ${1:-} == cassandra-[1-9] ]]; then
    node=$1
    shift
  fi
  cassandra_nodetool "$node" "$@"
}

verb_server() {
  options_read "dir" "$@"
  ((${#words[@]} == 2)) || usage_error "stack server VERB NAME [--dir DIR]; see \`stack help\`"
  instance_required
  local name file action=${words[0]}
  local -a names
  names=$(server_names "${words[1]}")
  mapfile -t names <<<"${names[0]}"
  if [[ $action == start ]]; then
    server_start "${names[@]}"
    # Clients know where they are: here they get no other ports.
    server_await 0 "${names[@]}"
    return 0
  fi
  for name in "${names[@]}"; do
    file=$entry/$name.process
    case $action in
      stop) end_groups 30 "$file" ;;
      kill) signal_group "$file" KILL && wait_gone 10 "$file" ;;
      pause) signal_group "$file" STOP ;;
      resume) signal_group "$file" CONT ;;
      pid) recorded "$file" || failure "$name does not run" && echo ;;
      logs) cat "$dir/logs/$name.log" ;;
      *) usage_error "no verb \`$action\` for a server: stop start kill pause resume pid logs" ;;
    esac
  done
}

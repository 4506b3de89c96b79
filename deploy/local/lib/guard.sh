# shellcheck shell=bash
# The guard: a small process in a session of its own that takes an instance down when nobody else will, also after kill -9. It watches
# `up` while that runs, and the owner from then on; without an owner it leaves once `up` has succeeded.

guard_start() {
  alive "$entry/guard.process" && return 0
  rm -f "$entry/guard.process"
  setsid "$stack_home/stack" guard "$dir" </dev/null >>"$dir/logs/guard.log" 2>&1 &
  until [[ -e $entry/guard.process ]]; do sleep 0.02; done
}

guard_run() {
  instance_at "$1"
  cd /
  record "$entry/guard.process" $$ || exit 0
  while guard_is_needed; do sleep 0.4; done
}

# guard_is_needed: false, or does not return, when the watch is over.
guard_is_needed() {
  [[ -d $entry && ! -e $entry/closing ]] || return 1
  local owned=no orphaned=no
  if [[ -e $entry/owner.process ]]; then
    owned=yes
    alive "$entry/owner.process" || orphaned=yes
  fi
  if alive "$entry/up.process"; then
    # `up` takes everything down itself when it is told to end.
    [[ $orphaned == no ]] || signal_process "$entry/up.process" TERM
    return 0
  fi
  # Its record stays when it was killed before it could finish.
  if [[ $orphaned == yes || -e $entry/up.process ]]; then
    verb_down --dir "$dir"
    exit
  fi
  [[ $owned == yes ]]
}

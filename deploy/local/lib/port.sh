# shellcheck shell=bash
# Free ports. Choosing is done under one lock against two lists: sockets the kernel knows, and reservations of other instances, whose
# servers may not listen yet. What still goes wrong (a stranger takes the port in between) shows as a failed bind, and is retried.

# The kernel gives outgoing connections ports from its own range; ours come from below it.
port_low=20000
port_high() {
  local low
  read -r low _ </proc/sys/net/ipv4/ip_local_port_range 2>/dev/null || low=32768
  echo $((low > port_low + 2000 ? low : 32768))
}

# port_reserve FILE COUNT: that many free ports on stdout, added to the instance's reservations in FILE.
port_reserve() {
  (
    flock 9
    port_choose "$2" | tee -a "$1"
  ) 9>"$registry/ports.lock"
}

# port_reclaim FILE PORT...: reserves exactly these; fails, reserving none, when one is taken.
port_reclaim() {
  (
    flock 9
    local file=$1 port
    local -A taken=()
    shift
    port_taken
    for port in "$@"; do [[ -z ${taken[$port]:-} ]] || exit 1; done
    printf '%s\n' "$@" >>"$file"
  ) 9>"$registry/ports.lock"
}

# port_taken: fills the caller's `taken` with listening sockets (state 0A) and reservations.
port_taken() {
  local address state port file
  while read -r _ address _ state _; do
    if [[ $state == 0A ]]; then taken[$((16#${address##*:}))]=1; fi
  done < <(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  for file in "$registry"/*/ports; do
    while read -r port; do taken[$port]=1; done < <(cat "$file" 2>/dev/null)
  done
}

port_choose() {
  local -A taken=()
  local wanted=$1 port high
  port_taken
  high=$(port_high)
  while ((wanted > 0)); do
    port=$((port_low + (RANDOM << 15 | RANDOM) % (high - port_low)))
    [[ -z ${taken[$port]:-} ]] || continue
    taken[$port]=1
    echo "$port"
    wanted=$((wanted - 1))
  done
}

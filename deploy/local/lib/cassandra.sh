# shellcheck shell=bash
# Cassandra: N nodes, named cassandra-1 ... cassandra-N, at 127.0.0.1 ... 127.0.0.N on the same ports: a driver takes a node's address from
# its peers, and the port from what it was told. Only the port for nodetool is each one's own.

cassandra_opens() { grep -v '^#' "$stack_home/conf/cassandra.jvm"; }

# cassandra_host NAME
cassandra_host() { printf '127.0.0.%d' "${1#cassandra-}"; }

# cassandra_configure NAME: conf/NAME.yaml from the shared settings; of a ring, each node is a seed.
cassandra_configure() {
  local node seeds=127.0.0.1
  for ((node = 2; node <= nodes; node++)); do seeds+=,127.0.0.$node; done
  local -a edits=(-e "s/- seeds: .*/- seeds: \"$seeds\"/")
  [[ $commitlog == periodic ]] || edits+=(-e "s/^commitlog_sync: .*/commitlog_sync: $commitlog/" -e '/^commitlog_sync_period:/d')
  sed "${edits[@]}" "$stack_home/conf/cassandra.yaml" >"$dir/conf/$1.yaml"
}

# cassandra_run NAME
cassandra_run() {
  local jars opens host node=${1#cassandra-}
  host=$(cassandra_host "$1")
  jars=$(jar_directory)/cassandra
  mapfile -t opens < <(cassandra_opens)
  local -a agent=("$jars"/jamm-*.jar) speed=(-XX:TieredStopAtLevel=1)
  [[ $jit == quick ]] || speed=()
  # One node has nobody to gossip with and no ring to wait for. In a ring each owns an equal share from the start: nothing to stream, and
  # nodes may start side by side.
  local -a ring=(-Dcassandra.ring_delay_ms=1)
  if ((nodes > 1)); then
    # 2^64 / N does not fit, 2^62 / N * 4 does. The lowest token of all is none that a node may have.
    ring=(-Dcassandra.ring_delay_ms=2000 -Dcassandra.settings.auto_bootstrap=false
      "-Dcassandra.initial_token=$((-(1 << 62) * 2 + 1 + (1 << 62) / nodes * 4 * (node - 1)))")
  fi
  exec "$java" -Xms512m -Xmx512m -Xss256k -XX:+UseG1GC "${speed[@]}" -XX:+ExitOnOutOfMemoryError "${opens[@]}" \
    -javaagent:"${agent[0]}" -Dlogback.configurationFile="$stack_home/conf/cassandra.logback.xml" \
    -Dcassandra.config="file://$dir/conf/$1.yaml" -Dcassandra.config.allow_system_properties=true "${ring[@]}" \
    -Dcassandra.settings.listen_address="$host" -Dcassandra.settings.storage_port="${port[storage]}" \
    -Dcassandra.settings.rpc_address="$host" -Dcassandra.settings.native_transport_port="${port[cassandra]}" \
    -Dcassandra.jmx.local.port="${port[jmx-$node]}" \
    -Dcassandra.storagedir="$dir/data/$1" -Dcassandra.logdir="$dir/logs" -Dcassandra-foreground=yes \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.shutdown_announce_in_ms=0 -Dcassandra.superuser_setup_delay_ms=0 \
    -Djava.awt.headless=true -cp "$jars/*" org.apache.cassandra.service.CassandraDaemon
}

# cassandra_answers NAME: the handshake is accepted, and the node knows all others.
cassandra_answers() (
  { exec 3<>"/dev/tcp/$(cassandra_host "$1")/${port[cassandra]}"; } 2>/dev/null || exit 1
  # A frame: version 4, flags, stream, opcode (1 startup, 7 query), length, body.
  printf '\x04\x00\x00\x01\x01\x00\x00\x00\x16\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0' >&3
  reply=$(reply_of 3 9)
  if [[ $reply == " 132 0 0 1 2 "* ]]; then
    printf '\x04\x00\x00\x02\x07\x00\x00\x00\x25\x00\x00\x00\x1eSELECT peer FROM system.peers;\x00\x01\x00' >&3
    reply=$(reply_of 3 5)
    # Length; then kind, what the one column is, and the number of rows.
    rows=$(reply_of 3 43)
  fi
  [[ $reply == " 132 0 0 2 8" && ${rows##* } == $((nodes - 1)) ]]
)

# cassandra_nodetool NAME ARGUMENTS
cassandra_nodetool() {
  local opens node=${1#cassandra-}
  shift
  mapfile -t opens < <(cassandra_opens)
  exec "$java" -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${opens[@]}" \
    -Dlogback.configurationFile="$stack_home/conf/cassandra.logback.xml" -Dcassandra.config="file://$stack_home/conf/cassandra.yaml" \
    -cp "$(jar_directory)/cassandra/*" org.apache.cassandra.tools.NodeTool -h 127.0.0.1 -p "${port[jmx-$node]}" "$@"
}

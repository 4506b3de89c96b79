# shellcheck shell=bash
# Cassandra: one node.

cassandra_opens() { grep -v '^#' "$stack_home/conf/cassandra.jvm"; }

cassandra_run() {
  local jars opens
  jars=$(jar_directory)/cassandra
  mapfile -t opens < <(cassandra_opens)
  local -a agent=("$jars"/jamm-*.jar) speed=(-XX:TieredStopAtLevel=1)
  [[ $jit == quick ]] || speed=()
  # One node has nobody to gossip with and no ring to wait for.
  exec "$java" -Xms512m -Xmx512m -Xss256k -XX:+UseG1GC "${speed[@]}" -XX:+ExitOnOutOfMemoryError "${opens[@]}" \
    -javaagent:"${agent[0]}" -Dlogback.configurationFile="$stack_home/conf/cassandra.logback.xml" \
    -Dcassandra.config="file://$stack_home/conf/cassandra.yaml" -Dcassandra.config.allow_system_properties=true \
    -Dcassandra.settings.rpc_address=127.0.0.1 -Dcassandra.settings.native_transport_port="${port[cassandra]}" \
    -Dcassandra.settings.storage_port="${port[storage]}" -Dcassandra.jmx.local.port="${port[jmx]}" \
    -Dcassandra.storagedir="$dir/data/cassandra" -Dcassandra.logdir="$dir/logs" -Dcassandra-foreground=yes \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=1 -Dcassandra.shutdown_announce_in_ms=0 \
    -Dcassandra.superuser_setup_delay_ms=0 -Djava.awt.headless=true -cp "$jars/*" org.apache.cassandra.service.CassandraDaemon
}

# cassandra_answers: the handshake is accepted and a SELECT is answered with a result.
cassandra_answers() (
  { exec 3<>"/dev/tcp/127.0.0.1/${port[cassandra]}"; } 2>/dev/null || exit 1
  # A frame: version 4, flags, stream, opcode (1 startup, 7 query), length, body.
  printf '\x04\x00\x00\x01\x01\x00\x00\x00\x16\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0' >&3
  reply=$(reply_of 3 9)
  if [[ $reply == " 132 0 0 1 2 "* ]]; then
    printf '\x04\x00\x00\x02\x07\x00\x00\x00\x24\x00\x00\x00\x1dSELECT key FROM system.local;\x00\x01\x00' >&3
    reply=$(reply_of 3 5)
  fi
  [[ $reply == " 132 0 0 2 8" ]]
)

cassandra_nodetool() {
  local opens
  mapfile -t opens < <(cassandra_opens)
  exec "$java" -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${opens[@]}" \
    -Dlogback.configurationFile="$stack_home/conf/cassandra.logback.xml" -Dcassandra.config="file://$stack_home/conf/cassandra.yaml" \
    -cp "$(jar_directory)/cassandra/*" org.apache.cassandra.tools.NodeTool -h 127.0.0.1 -p "${port[jmx]}" "$@"
}

# shellcheck shell=bash
# Kafka: N brokers in KRaft mode, each also a controller, named kafka-1 ... kafka-N.

# kafka_configure NAME: conf/NAME.properties from the shared settings and this instance's places. Later lines win.
kafka_configure() {
  local name=$1 voters='' broker replicas=$((brokers < 3 ? brokers : 3))
  for ((broker = 1; broker <= brokers; broker++)); do
    voters+=${voters:+,}$broker@127.0.0.1:${port[controller-$broker]}
  done
  {
    cat "$stack_home/conf/kafka.properties"
    echo "node.id=${name#kafka-}"
    echo "controller.quorum.voters=$voters"
    echo "listeners=PLAINTEXT://127.0.0.1:${port[$name]},CONTROLLER://127.0.0.1:${port[controller-${name#kafka-}]}"
    echo "advertised.listeners=PLAINTEXT://127.0.0.1:${port[$name]}"
    echo "log.dirs=$dir/data/$name"
    if ((brokers > 1)); then
      printf '%s.replication.factor='"$replicas"'\n' default offsets.topic transaction.state.log share.coordinator.state.topic
      printf '%s=2\n' min.insync.replicas transaction.state.log.min.isr share.coordinator.state.topic.min.isr
    fi
  } >"$dir/conf/$name.properties"
}

# kafka_run NAME: formats the directory once, then becomes the broker.
kafka_run() {
  local name=$1 conf=$dir/conf/$1.properties
  local -a options=(-Djava.awt.headless=true "-Dlog4j2.configurationFile=$stack_home/conf/kafka.log4j2.xml" -cp "$(jar_directory)/kafka/*")
  if [[ ! -e $dir/data/$name/meta.properties ]]; then
    # All brokers of an instance share the cluster id, so it comes from the directory's name in the registry.
    "$java" -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${options[@]}" kafka.tools.StorageTool format \
      -t "$(printf '%s' "${entry##*/}" | base64 | cut -c1-22)" -c "$conf"
  fi
  local -a speed=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1)
  [[ $jit == quick ]] || speed=(-XX:+UseG1GC -XX:MaxGCPauseMillis=20)
  exec "$java" -Xms256m -Xmx256m "${speed[@]}" -XX:+ExitOnOutOfMemoryError "${options[@]}" kafka.Kafka "$conf"
}

# kafka_answers NAME: a metadata request is answered, and the answer lists every broker.
kafka_answers() (
  { exec 3<>"/dev/tcp/127.0.0.1/${port[$1]}"; } 2>/dev/null || exit 1
  # Length 19, key 3 (metadata), version 1, correlation 42, client "stack", an empty list of topics.
  printf '\x00\x00\x00\x13\x00\x03\x00\x01\x00\x00\x00\x2a\x00\x05stack\x00\x00\x00\x00' >&3
  # Length, correlation, number of brokers: four bytes each.
  reply=$(reply_of 3 12)
  [[ $reply == *" 0 0 0 42 0 0 0 $brokers" ]]
)

# reply_of DESCRIPTOR LENGTH: that many bytes as decimal numbers, each after one space; fewer when the server falls silent.
reply_of() {
  timeout 2 head -c "$2" <&"$1" | od -An -v -tu1 | tr -s ' \n' ' ' | sed 's/ $//'
}

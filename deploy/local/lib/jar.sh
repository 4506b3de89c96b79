# shellcheck shell=bash
# What the servers are made of: Java 17, the jars (once per machine, complete or absent), redis-server. What is missing is installed
# with the system's package manager where that is possible, and named where it is not.

jars_pid=

# jar_directory: where the jars of exactly these coordinates lie, or will.
jar_directory() {
  printf '%s/jars-%s' "$cache" "$(cat "$stack_home"/jars/pom.xml "$stack_home"/jars/*/pom.xml | sha256sum | cut -c1-12)"
}

jar_fetch() {
  local target
  target=$(jar_directory)
  [[ -d $target ]] && return 0
  mkdir -p "$cache"
  exec {jar_lock}>"$cache/fetch.lock"
  flock -n "$jar_lock" || {
    report "somebody else is fetching the jars; waiting"
    # In short steps, so that a signal to this script is heard in between.
    until flock -w 1 "$jar_lock"; do :; done
  }
  if [[ ! -d $target ]]; then
    command -v mvn >/dev/null || install maven mvn
    report "fetching the jars of Kafka and Cassandra into $target (once per machine, about 115 MB)"
    rm -rf "$cache"/jars-*.part
    # In the background, so that Ctrl-C is heard at once; without the lock, so that only this script holds it.
    mvn -q -B -Dstyle.color=never -T 2 -f "$stack_home/jars/pom.xml" dependency:copy-dependencies -Djars.directory="$target.part" \
      </dev/null >&2 {jar_lock}>&- &
    jars_pid=$!
    wait "$jars_pid" || usage_error "maven could not fetch the jars (its words are above); the network, or its settings.xml"
    jars_pid=
    mv "$target.part" "$target"
  fi
  exec {jar_lock}>&-
}

# java_find: the path of a Java 17: Cassandra 5.0 runs on no newer one.
java_find() {
  local candidate
  for candidate in "${TIDEWATER_JAVA:-}" "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
    [[ -x $candidate && $(java_release "$candidate") == 17 ]] || continue
    printf '%s' "$candidate"
    return 0
  done
  return 1
}

java_release() {
  local release
  release=$(dirname "$(dirname "$(readlink -f "$1")")")/release
  if [[ -r $release ]]; then
    sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$release"
  else
    "$1" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'
  fi
}

# install PACKAGE NAME: the command NAME out of the system's package.
install() {
  local advice="install it (Debian, Ubuntu: apt-get install $1) and try again"
  if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then usage_error "$2 is missing; $advice"; fi
  report "$2 is missing: installing the package $1"
  {
    apt-get update -qq -o DPkg::Lock::Timeout=120 &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$1"
  } </dev/null >&2 || usage_error "the package $1 could not be installed; $advice"
}

# needs SERVER...: everything that these servers need is there afterwards; sets `java` where one of them is a JVM.
needs() {
  local name
  for name in "$@"; do
    if [[ $name == redis || $name == keys ]]; then
      command -v redis-server >/dev/null || install redis-server redis-server
    else
      [[ -x $java ]] || java=$(java_find) || {
        install openjdk-17-jre-headless "Java 17"
        java=$(java_find) || usage_error "Java 17 is still missing; name one in TIDEWATER_JAVA"
      }
      jar_fetch
    fi
  done
}

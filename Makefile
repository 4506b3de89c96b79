# What there is to do here, each thing in one line. What a machine needs for it is checked first, and installed where that is possible.
.PHONY: demo demo-servers test soak bench lint docs stack-up stack-down

# The whole pipeline in one process on real changes, and the proof that nothing was lost. ARGS="--repeat 20", "--keep", "--clean".
demo: ; @deploy/local/need demo && echo "demo: building; the first time takes about four minutes on two cores" >&2 && cargo build --quiet --locked -p ctl --no-default-features --bin tidewater && "$${CARGO_TARGET_DIR:-target}/debug/tidewater" demo $(ARGS)

# The same on Kafka, Cassandra and Redis of its own.
demo-servers: ; @deploy/local/need servers && echo "demo: building; the first time takes about five minutes on two cores" >&2 && cargo build --quiet --locked --bins && "$${CARGO_TARGET_DIR:-target}/debug/tidewater" demo --servers $(ARGS)

# Everything, real servers included: about ten minutes once built.
test: ; @deploy/local/test-run

# The long forms: MINUTES (default 60) of faults on three nodes and three brokers, then the other PARTS; the result is tests/soak/<date>.json.
soak: ; @deploy/local/soak-run

# What it costs, beside bare client loops on the same servers: tables here, lines and plots in bench/results. About 20 minutes once built.
bench: ; @deploy/local/bench-run $(ARGS)

# Formatting, clippy, and the house tests: seconds once built.
lint: ; @deploy/local/need build && cargo fmt --all --check && cargo clippy --quiet --locked --workspace --all-targets -- -D warnings && cargo clippy --quiet --locked -p ctl --no-default-features -- -D warnings && cargo test --quiet --locked -p tests --test architecture --test tidy

# What is generated from the code: docs/config.md and tests/goldens.
docs: ; @deploy/local/need build && UPDATE_GOLDENS=1 cargo test --quiet --locked -p tests --test tidy goldens

# Kafka, Cassandra and Redis to look around in, until they are taken down.
stack-up: ; @deploy/local/stack up
stack-down: ; @deploy/local/stack down

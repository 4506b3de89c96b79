use super::*;
use std::sync::{Arc, Mutex};

#[derive(Debug, thiserror::Error)]
#[error("cassandra write failed")]
struct Outer(#[source] Inner);

#[derive(Debug, thiserror::Error)]
#[error("connection refused")]
struct Inner;

/// What `log` writes, line by line.
fn lines(log: impl FnOnce()) -> Vec<Json> {
    let written = Arc::new(Mutex::new(Vec::new()));
    let writer = Written(Arc::clone(&written));
    let subscriber = tracing_subscriber::fmt()
        .event_format(JsonLines { service: "sink" })
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, log);
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[derive(Clone)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_has_the_message_the_fields_and_the_service() {
    let found = lines(|| tracing::warn!(attempt = 3, is_last = false, topic = "raw", "write\nretried"));
    let line = &found[0];
    assert_eq!(found.len(), 1, "a line break in a value is not one in the log");
    for (key, value) in [
        ("level", Json::from("WARN")),
        ("service", "sink".into()),
        ("message", "write\nretried".into()),
        ("attempt", 3.into()),
        ("is_last", false.into()),
        ("topic", "raw".into()),
        ("target", "runtime::logs::tests".into()),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert!(line["at"].as_str().unwrap().ends_with('Z'), "{line}");
}

#[test]
fn an_error_is_logged_with_all_its_causes() {
    let error = Outer(Inner);
    let found = lines(|| tracing::error!(error = &error as &dyn Error, "stopped"));
    assert_eq!(found[0]["error"], "cassandra write failed: connection refused");
}

#[test]
fn a_field_does_not_take_the_place_of_the_service() {
    let found = lines(|| tracing::info!(service = "other", "started"));
    assert_eq!(found[0]["service"], "sink");
}

#[test]
fn a_chain_does_not_say_a_cause_twice() {
    #[derive(Debug, thiserror::Error)]
    #[error("write failed: {0}")]
    struct Chatty(#[source] Inner);
    assert_eq!(chain(&Chatty(Inner)).to_string(), "write failed: connection refused");
    assert_eq!(chain(&Outer(Inner)).to_string(), "cassandra write failed: connection refused");
}

#[test]
fn a_filter_is_checked_before_it_is_used() {
    for right in ["info", "warn,runtime=debug"] {
        assert!(Filter::from_text(right).is_some(), "{right}");
    }
    for wrong in ["", "a=b=c", "runtime=loud"] {
        assert!(Filter::from_text(wrong).is_none(), "{wrong}");
    }
}

//! Logs: one JSON object a line on stderr, with a constant message, fields, and the service's name.
//!
//! *error* wants a human now, *warn* is degraded but healing, *info* are events of a life, *debug* is per batch.
//! User data is in none of them.

use crate::config::{Choice, Section, Settings, Value};
use serde_json::{Map, Value as Json};
use std::error::Error;
use std::fmt;
use std::io;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub filter: Filter,
    pub format: Format,
}

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            filter: section
                .value("filter", "What is logged: a level, or levels by module as \"info,runtime=debug\".")
                .default(Filter("info".into())),
            format: section
                .choice("format", "How a line looks: json for machines, text for people.")
                .default(Format::Json),
        }
    }
}

/// Levels by module, known to be well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Box<str>);

impl Value for Filter {
    fn expected() -> String {
        "error, warn, info, debug or trace, also by module: \"info,runtime=debug\"".to_owned()
    }
    fn from_text(text: &str) -> Option<Self> {
        let well_formed = !text.is_empty() && EnvFilter::builder().parse(text).is_ok();
        well_formed.then(|| Self(text.into()))
    }
    fn to_toml(&self) -> toml::Value {
        (*self.0).into()
    }
    fn stand_in() -> Self {
        Self("info".into())
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Json,
    Text,
}

impl Choice for Format {
    const WORDS: &'static [(&'static str, Self)] = &[("json", Self::Json), ("text", Self::Text)];
}

/// Clients whose warnings quote what a server said of a request, which may be a user's key. Only naming one of
/// their modules turns them louder.
const QUIET: [&str; 1] = ["scylla=error"];

/// Sends this process's logs to stderr from now on, and panics with them. A second call changes nothing.
pub(crate) fn start(service: &'static str, config: &Config) {
    let mut filter = EnvFilter::builder().parse_lossy(&config.filter.0);
    for quiet in QUIET {
        if let Ok(directive) = quiet.parse() {
            filter = filter.add_directive(directive);
        }
    }
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    let _started_before: Result<(), _> = match config.format {
        Format::Json => tracing::subscriber::set_global_default(lines.event_format(JsonLines { service }).finish()),
        Format::Text => tracing::subscriber::set_global_default(lines.finish()),
    };
    std::panic::set_hook(Box::new(|panic| {
        // A formatted message may quote data and stays out; a literal one is a constant of ours.
        let literal = panic.payload().downcast_ref::<&'static str>();
        let reason = literal.copied().unwrap_or("(withheld: it may quote data)");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(reason, place, "panicked");
    }));
}

/// An error and all its causes, as `what failed: because: because`. A cause that its error already prints is not
/// said twice.
pub fn chain(error: &dyn Error) -> impl fmt::Display + '_ {
    Chain(error)
}

struct Chain<'e>(&'e dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            next = cause.source();
        }
        Ok(())
    }
}

/// An object with `at`, `level`, `service`, `message`, `target` and the event's fields.
///
/// Ours rather than tracing-subscriber's because that one has no place for a constant field and prints an error
/// without its causes.
struct JsonLines {
    service: &'static str,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut at = String::new();
        SystemTime.format_time(&mut Writer::new(&mut at))?;
        let mut line = Map::new();
        event.record(&mut Fields(&mut line));
        // After the fields, so that none of them takes a place of ours.
        line.insert("at".to_owned(), at.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("service".to_owned(), self.service.into());
        line.insert("target".to_owned(), event.metadata().target().into());
        writeln!(writer, "{}", Json::Object(line))
    }
}

struct Fields<'l>(&'l mut Map<String, Json>);

impl Fields<'_> {
    fn set(&mut self, field: &Field, value: impl Into<Json>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.set(field, chain(value).to_string());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests;

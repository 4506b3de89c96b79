//! The smallest service: it does nothing, in one of several ways. `tests/boot.rs` lives through all of them.

use runtime::config::{Choice, Section, Settings};
use runtime::{Context, Failure, Service, boot};
use std::process::ExitCode;
use std::time::Duration;

const SERVICE: Service = Service { name: "idle", about: "Does nothing, until told to leave.", admin_port: 7100 };

fn main() -> ExitCode {
    boot(&SERVICE, run)
}

struct Config {
    ending: Ending,
    drain: Duration,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Ending {
    #[default]
    WhenTold,
    Unasked,
    Panic,
    Never,
}

impl Choice for Ending {
    const WORDS: &'static [(&'static str, Self)] =
        &[("when-told", Self::WhenTold), ("unasked", Self::Unasked), ("panic", Self::Panic), ("never", Self::Never)];
}

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        let config = section.within("idle", |section| Self {
            ending: section.choice("ending", "How it ends.").default(Ending::WhenTold),
            drain: section.duration("drain", "What it has to end when told.").default(Duration::from_secs(1)),
        });
        let shutdown: runtime::lifecycle::Config = section.section("shutdown");
        if config.drain > shutdown.grace {
            section.problem(&["idle.drain", "shutdown.grace"], "must not be over shutdown.grace; shorten it");
        }
        config
    }
}

async fn run(config: Config, context: Context) -> Result<(), Failure> {
    context.lifecycle.spawn("idler", config.drain, |stop| async move {
        match config.ending {
            Ending::WhenTold => stop.cancelled().await,
            Ending::Unasked => {}
            Ending::Panic => assert!(config.drain.is_zero(), "a formatted message, {:?}", config.drain),
            Ending::Never => std::future::pending().await,
        }
        Ok(())
    });
    Ok(())
}

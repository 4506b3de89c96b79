//! The stages of the path: which group reads which topics.

use clap::ValueEnum;
use schemas::topics;
use std::fmt;

/// One worker of the path, in path order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Stage {
    Validate,
    Enrich,
    Sink,
}

impl Stage {
    pub(crate) const ALL: [Self; 3] = [Self::Validate, Self::Enrich, Self::Sink];

    /// The name of the worker, of its consumer group and of the stage in `tw-stage`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Enrich => "enrich",
            Self::Sink => "sink",
        }
    }

    /// The topics it reads, without the prefix; the one that changes come by first.
    pub(crate) fn topics(self) -> &'static [&'static str] {
        match self {
            Self::Validate => &[topics::RAW, topics::PINNED],
            Self::Enrich => &[topics::VALID],
            Self::Sink => &[topics::ENRICHED],
        }
    }

    pub(crate) fn of_group(group: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == group)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

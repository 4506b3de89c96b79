//! Which letter is meant, as people name it.

use super::letter::Letter;
use crate::world::Log;
use schemas::{Origin, topics};
use std::str::FromStr;

/// One letter by its own place, or all letters of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Letter { partition: i32, offset: i64 },
    Of(Origin),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(origin) = text.parse::<Origin>() {
            return Ok(Self::Of(origin));
        }
        let letter = text.split_once('/').and_then(|(partition, offset)| {
            Some(Self::Letter { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        });
        letter.ok_or_else(|| "give a letter as 3/17, or an origin as changes.raw.v1/3/1024".to_owned())
    }
}

impl Which {
    /// Where the letters lie, if that is known.
    pub(super) fn partition(&self) -> Option<i32> {
        match self {
            Self::Letter { partition, .. } => Some(*partition),
            // A letter lies in the partition of the record that was refused. An origin elsewhere says nothing of that.
            Self::Of(origin) => {
                topics::ALL.iter().any(|topic| topic.name == origin.topic()).then(|| origin.partition())
            }
        }
    }

    pub(super) fn is(&self, log: &Log, letter: &Letter) -> bool {
        match self {
            Self::Letter { partition, offset } => (letter.partition, letter.offset) == (*partition, *offset),
            Self::Of(origin) => {
                let origin = origin.to_string();
                letter.origin == origin || letter.place == log.topic(&origin)
            }
        }
    }
}

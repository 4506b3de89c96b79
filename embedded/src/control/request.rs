//! What can be asked of a directory, and the answers; the bytes that go with some of them stand beside.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(super) enum Request {
    About,
    Watermarks {
        topic: String,
    },
    Since {
        topic: String,
        ms: i64,
    },
    /// Spans as partition, from, to. The records are the bytes.
    Read {
        topic: String,
        spans: Vec<(i32, i64, i64)>,
    },
    /// High watermarks that were seen, by partition.
    Wait {
        topic: String,
        seen: Vec<i64>,
    },
    Committed {
        group: String,
        topic: String,
    },
    /// Places as partition, offset, text.
    Commit {
        group: String,
        topic: String,
        places: Vec<(i32, i64, String)>,
    },
    /// The records are the bytes.
    Append {
        topic: String,
    },
    /// The row is the bytes.
    Row {
        tenant: String,
        user_id: String,
    },
    /// The last key of the page before is the bytes, and then the page.
    Rows,
    /// The profile is the bytes.
    Get {
        tenant: String,
        user_id: String,
    },
    Verify,
    /// Answered when all that was acknowledged is on disk and shown.
    Sync,
}

/// What a directory says of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct About {
    pub partitions: u16,
    /// Start of operation, microseconds since 1970-01-01.
    pub floor_micros: i64,
    /// `always`, `10ms` or `os`.
    pub durability: String,
    /// Of the process that answers.
    pub pid: u32,
    pub log_bytes: u64,
    pub table_bytes: u64,
    /// Names and types of the columns, by number.
    pub(super) columns: String,
}

/// First offset and the next one of each partition.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Held {
    pub(super) held: Vec<(i64, i64)>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Offsets {
    pub(super) offsets: Vec<i64>,
}

/// Offset and text by partition.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Commits {
    pub(super) commits: Vec<Option<(i64, String)>>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Row {
    pub(super) is_there: bool,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Seen {
    pub(super) version: Option<i64>,
    pub(super) receipt: Option<(i32, i64)>,
    pub(super) is_cached: bool,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Files {
    pub(super) files: usize,
}

/// Nothing but that it is done.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Done {}

/// How an answer begins on the socket.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Done(serde_json::Value),
    Failed { text: String, is_usage: bool },
}

//! What a writer was answered with, and how long a reader waits for it.

use crate::error::Problem;
use axum::http::{HeaderMap, HeaderName};
use schemas::UserId;
use schemas::topics::partition_for;
use std::time::Duration;

const RECEIPT: HeaderName = HeaderName::from_static("tidewater-receipt");
/// RFC 7240: `wait` in seconds is a standard preference, and like every preference no reason to refuse a request.
const PREFER: HeaderName = HeaderName::from_static("prefer");

const WAIT_DEFAULT: Duration = Duration::from_secs(2);
/// Longer would outlast what lies between, and hold a place meanwhile.
const WAIT_MAX: u64 = 10;

/// The place of a raw record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Receipt {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl Receipt {
    /// Of a request that brings one.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut brought = headers.get_all(RECEIPT).iter();
        let (Some(text), None) = (brought.next(), brought.next()) else {
            return if headers.contains_key(RECEIPT) { Err(Problem::ReceiptInvalid) } else { Ok(None) };
        };
        let text = text.to_str().map_err(|_| Problem::ReceiptInvalid)?;
        let (partition, offset) = text.split_once('/').ok_or(Problem::ReceiptInvalid)?;
        Self::parse(partition, offset).map(Some).ok_or(Problem::ReceiptInvalid)
    }

    pub(crate) fn parse(partition: &str, offset: &str) -> Option<Self> {
        // No signs, no spaces: it is handed back as it was given.
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(partition) || !is_number(offset) {
            return None;
        }
        Some(Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
    }

    /// Refuses one that no change of `user_id` can have.
    pub(crate) fn check(self, user_id: &UserId, partitions: i32) -> Result<Self, Problem> {
        let own = partition_for(user_id.as_str().as_bytes(), partitions);
        if self.partition == own { Ok(self) } else { Err(Problem::ReceiptElsewhere) }
    }

    /// Whether what was last seen of raw changes is this one or came after it.
    pub(crate) fn is_in(self, seen: Option<(i32, i64)>) -> bool {
        seen.is_some_and(|(partition, offset)| partition == self.partition && offset >= self.offset)
    }
}

/// How long a request may wait, 2 s for one with a receipt that does not say.
pub(crate) fn wait_of(headers: &HeaderMap) -> Duration {
    preferred(headers).unwrap_or(WAIT_DEFAULT)
}

/// How long a request says that it may wait, 10 s at most.
pub(crate) fn preferred(headers: &HeaderMap) -> Option<Duration> {
    let texts = headers.get_all(PREFER).iter().filter_map(|text| text.to_str().ok());
    // The first counts if it is said twice.
    let mut waits = texts.flat_map(|text| text.split(',')).filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"').parse().ok())
    });
    let seconds: u64 = waits.next()??;
    Some(Duration::from_secs(seconds.min(WAIT_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_receipt_is_two_numbers_and_nothing_else() {
        let of = |text| Receipt::of(&headers(&[(RECEIPT, text)]));
        assert_eq!(of("3/1024"), Ok(Some(Receipt { partition: 3, offset: 1024 })));
        for wrong in
            ["", "3", "3/", "/3", "+3/4", "3/-4", "3/4/5", "3/ 4", "x/4", "3/99999999999999999999", "2147483648/1"]
        {
            assert_eq!(of(wrong), Err(Problem::ReceiptInvalid), "{wrong:?}");
        }
        assert_eq!(Receipt::of(&HeaderMap::new()), Ok(None));
        assert_eq!(Receipt::of(&headers(&[(RECEIPT, "3/4"), (RECEIPT, "3/5")])), Err(Problem::ReceiptInvalid));
    }

    #[test]
    fn what_was_seen_later_in_the_partition_has_the_change_in_it() {
        let receipt = Receipt { partition: 3, offset: 7 };
        assert!(receipt.is_in(Some((3, 7))) && receipt.is_in(Some((3, 8))));
        assert!(!receipt.is_in(Some((3, 6))) && !receipt.is_in(Some((4, 8))) && !receipt.is_in(None));
    }

    #[test]
    fn a_preference_is_taken_as_far_as_it_goes() {
        let wait = |text: &str| wait_of(&headers(&[(PREFER, text)])).as_secs();
        assert_eq!((wait("wait=5"), wait("respond-async, Wait = \"7\";x=1"), wait("wait=0")), (5, 7, 0));
        assert_eq!((wait("wait=3600"), wait("wait=soon"), wait("waiting=9")), (10, 2, 2));
        assert_eq!(preferred(&HeaderMap::new()), None);
    }
}

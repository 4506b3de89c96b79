//! What a record of the pinned topic brings beside its change: the place in history that backfill and replays have.
//!
//! Headers beat the value, so that a record can be sent again byte for byte. A header that is there and not well formed
//! is a rejection, never as if it were absent.

use crate::facts::origin_of;
use crate::{Lane, Origin, RejectCode, Rejection, Version, headers};
use uuid::Uuid;

/// The headers of ours that count on the pinned topic; every other is dropped there, too.
pub const BROUGHT: [&str; 3] = [headers::VERSION, headers::ORIGIN, headers::ID];

/// What the headers of one record say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    version: Option<Said<i64>>,
    origin: Option<Said<Origin>>,
    id: Option<Said<Uuid>>,
}

type Said<T> = Result<T, Malformed>;

/// A header is there, and its text is of another form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// Which versions may be brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Start of operation, microseconds since 1970-01-01: backfill lies below it, what is live above.
    pub floor_micros: i64,
    /// Milliseconds since 1970-01-01 that no version lies beyond.
    pub latest_ms: i64,
}

impl Brought {
    /// `header` gives a header's last value.
    #[must_use]
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        let id = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| Uuid::try_parse(text).ok());
        Self {
            version: header(headers::VERSION).map(|text| headers::integer(text).ok_or(Malformed)),
            origin: header(headers::ORIGIN).map(|text| origin_of(text).ok_or(Malformed)),
            id: header(headers::ID).map(|text| id(text).ok_or(Malformed)),
        }
    }

    /// The version, if what is said of it is one; `in_value` is what the value says, if it could be read.
    #[must_use]
    pub fn known_version(&self, in_value: Option<i64>) -> Option<Version> {
        self.version.map_or(in_value, Result::ok).and_then(Version::new)
    }

    /// The origin, if one is brought that is well formed.
    #[must_use]
    pub fn known_origin(&self) -> Option<&Origin> {
        self.origin.as_ref().and_then(|origin| origin.as_ref().ok())
    }

    /// The id, if one is brought that is well formed.
    #[must_use]
    pub fn known_id(&self) -> Option<Uuid> {
        self.id.and_then(Result::ok)
    }

    /// The version that counts.
    ///
    /// # Errors
    /// `version-in-future` beyond `bounds`, whatever the lane. `version-invalid` if there is none, it is not positive or
    /// has the phase bit, it is backfill and not below the floor, or live or erasure and not above: every live version
    /// must beat every backfilled one.
    pub fn version(&self, in_value: Option<i64>, bounds: Bounds) -> Result<Version, Rejection> {
        let (said, field) = match self.version {
            Some(said) => (said.ok(), headers::VERSION),
            None if in_value.is_some() => (in_value, "version"),
            None => (None, headers::VERSION),
        };
        let invalid = || Rejection::at(RejectCode::VersionInvalid, field);
        let version = said.and_then(Version::new).ok_or_else(invalid)?;
        if version.millis() > bounds.latest_ms {
            return Err(Rejection::at(RejectCode::VersionInFuture, field));
        }
        let floor = bounds.floor_micros & !(Version::STEP - 1);
        let is_allowed = match version.lane() {
            Lane::Backfill => version.place() < floor,
            Lane::SourcePinned => true,
            Lane::Live | Lane::Erasure => version.place() > floor,
        };
        if is_allowed { Ok(version) } else { Err(invalid()) }
    }

    /// The origin that counts: the brought one, else `own`, the record's own place.
    ///
    /// # Errors
    /// `undecodable` if it is none; `misplaced` if it is a raw record of another partition than `own`: its offset would
    /// be taken for a receipt of this one.
    pub fn origin(&self, own: &Origin) -> Result<Origin, Rejection> {
        match &self.origin {
            None => Ok(own.clone()),
            Some(Err(Malformed)) => Err(Rejection::at(RejectCode::Undecodable, headers::ORIGIN)),
            Some(Ok(origin)) if origin.raw().is_some_and(|(partition, _)| partition != own.partition()) => {
                Err(Rejection::at(RejectCode::Misplaced, headers::ORIGIN))
            }
            Some(Ok(origin)) => Ok(origin.clone()),
        }
    }

    /// The id that beats the value's, if one is brought.
    ///
    /// # Errors
    /// `format-invalid` if it is no UUID.
    pub fn id(&self) -> Result<Option<Uuid>, Rejection> {
        let id = self.id.transpose();
        id.map_err(|Malformed| Rejection::at(RejectCode::FormatInvalid, headers::ID))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: i64 = 1_700_000_000_000_003;
    const BOUNDS: Bounds = Bounds { floor_micros: FLOOR, latest_ms: 1_800_000_000_000 };

    fn brought(name: &'static str, text: &'static [u8]) -> Brought {
        Brought::read(|asked| (asked == name).then_some(text))
    }

    fn of_version(text: &'static str) -> Result<i64, (RejectCode, String)> {
        judged(brought(headers::VERSION, text.as_bytes()).version(None, BOUNDS))
    }

    fn judged(version: Result<Version, Rejection>) -> Result<i64, (RejectCode, String)> {
        version.map(Version::get).map_err(|wrong| (wrong.code, wrong.field.unwrap_or_default().into()))
    }

    #[test]
    fn a_version_is_taken_as_it_is_brought_in_every_lane() {
        for version in ["1600000000000000", "2", "1600000000000002", "1750000000000004", "1750000000000006"] {
            assert_eq!(of_version(version).map(|version| version.to_string()).as_deref(), Ok(version));
        }
    }

    #[test]
    fn what_is_no_version_is_invalid() {
        let none = ["", "x", "0", "-8", "+8", "08", "1600000000000001", "1600000000000003", "9223372036854775808"];
        for text in none {
            assert_eq!(of_version(text), Err((RejectCode::VersionInvalid, "tw-version".into())), "{text}");
        }
        let missing = Brought::default().version(None, BOUNDS);
        assert_eq!(judged(missing), Err((RejectCode::VersionInvalid, "tw-version".into())));
    }

    /// I3.
    #[test]
    fn backfill_lies_below_the_floor_and_what_is_live_above() {
        let floor = FLOOR & !7;
        let of = |place: i64, lane| {
            let version = Version::at(place, lane).unwrap().get();
            judged(Brought::default().version(Some(version), BOUNDS)).is_ok()
        };
        assert_eq!([of(floor - 8, Lane::Backfill), of(floor, Lane::Backfill)], [true, false]);
        for lane in [Lane::Live, Lane::Erasure] {
            assert_eq!([of(floor, lane), of(floor + 8, lane)], [false, true], "{lane:?}");
        }
        assert_eq!([of(floor - 8, Lane::SourcePinned), of(floor + 8, Lane::SourcePinned)], [true, true]);
    }

    /// I6.
    #[test]
    fn no_lane_brings_a_version_from_the_future() {
        for lane in [Lane::Backfill, Lane::SourcePinned, Lane::Live, Lane::Erasure] {
            let version = Version::at((BOUNDS.latest_ms + 1) * 1000, lane).map(Version::get);
            let rejected = Err((RejectCode::VersionInFuture, "version".into()));
            assert_eq!(judged(Brought::default().version(version, BOUNDS)), rejected, "{lane:?}");
        }
        assert!(judged(Brought::default().version(Some(BOUNDS.latest_ms * 1000 + 4), BOUNDS)).is_ok());
    }

    #[test]
    fn a_header_beats_the_value_also_when_it_is_wrong() {
        let header = brought(headers::VERSION, b"1750000000000004");
        assert_eq!(judged(header.version(Some(1_760_000_000_000_004), BOUNDS)), Ok(1_750_000_000_000_004));
        assert_eq!(header.known_version(Some(8)), Version::new(1_750_000_000_000_004));
        let wrong = brought(headers::VERSION, b"x");
        assert!(wrong.version(Some(1_760_000_000_000_004), BOUNDS).is_err());
        assert_eq!(wrong.known_version(Some(8)), None);
        assert_eq!(Brought::default().known_version(Some(8)), Version::new(8));
    }

    #[test]
    fn the_origin_is_the_one_brought_or_the_records_own_place() {
        let own: Origin = "changes.pinned.v1/3/7".parse().unwrap();
        assert_eq!(Brought::default().origin(&own), Ok(own.clone()));
        for text in ["changes.raw.v1/3/1024", "changes.pinned.v1/9/1", "crm/0/5"] {
            let header = brought(headers::ORIGIN, text.as_bytes());
            assert_eq!(header.origin(&own).map(|origin| origin.to_string()).as_deref(), Ok(text));
            assert_eq!(header.known_origin().map(ToString::to_string).as_deref(), Some(text));
        }
        for (text, code) in [
            ("", RejectCode::Undecodable),
            ("changes.raw.v1", RejectCode::Undecodable),
            ("changes.raw.v1/3/-1", RejectCode::Undecodable),
            ("changes.raw.v1/4/1024", RejectCode::Misplaced),
        ] {
            let refused = brought(headers::ORIGIN, text.as_bytes()).origin(&own);
            assert_eq!(refused, Err(Rejection::at(code, "tw-origin")), "{text}");
        }
    }

    #[test]
    fn an_id_is_a_uuid() {
        assert_eq!(Brought::default().id(), Ok(None));
        let header = brought(headers::ID, b"6ba7b810-9dad-11d1-80b4-00c04fd430c8");
        assert_eq!(header.id(), Ok(header.known_id()));
        assert!(header.known_id().is_some());
        let wrong = brought(headers::ID, b"42");
        assert_eq!(wrong.id(), Err(Rejection::at(RejectCode::FormatInvalid, "tw-id")));
        assert_eq!(wrong.known_id(), None);
    }
}

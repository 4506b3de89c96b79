//! What is known of a change's place in history, as headers: of what a stage puts out, and of every dead letter.

use crate::{Change, Origin, Version, headers};

/// Header names and values, ASCII.
pub type Facts = Vec<(&'static str, String)>;

/// Origin, version and id of a change.
#[must_use]
pub fn of(change: &Change) -> Facts {
    let mut facts = of_place(&change.origin, change.version);
    facts.push((headers::ID, change.id.to_string()));
    facts
}

/// Origin and version: what is known of a record before it is read.
#[must_use]
pub fn of_place(origin: &Origin, version: Version) -> Facts {
    vec![(headers::ORIGIN, origin.to_string()), (headers::VERSION, version.to_string())]
}

/// The facts that came with a record of our own topics and are well formed; `header` gives a header's last value.
#[must_use]
pub fn carried<'a>(header: impl Fn(&str) -> Option<&'a [u8]>) -> Facts {
    let origin = header(headers::ORIGIN).and_then(origin_of).map(|origin| (headers::ORIGIN, origin.to_string()));
    let version = header(headers::VERSION)
        .and_then(headers::integer)
        .and_then(Version::new)
        .map(|version| (headers::VERSION, version.to_string()));
    origin.into_iter().chain(version).collect()
}

/// Reads the value of `tw-origin`.
#[must_use]
pub fn origin_of(value: &[u8]) -> Option<Origin> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carried_facts_are_those_that_are_well_formed() {
        let origin: Origin = "changes.raw.v1/3/7".parse().unwrap();
        let version = Version::new(800).unwrap();
        let facts = of_place(&origin, version);
        let header = |name: &str| facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes());
        assert_eq!(carried(header), facts);
        assert_eq!(carried(|_| Some(b"nonsense".as_slice())), []);
        assert_eq!(carried(|_| None), []);
    }
}

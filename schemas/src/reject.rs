//! Why a change is refused: stable codes, each with a page under `docs/rejects/`.

use std::fmt;

/// A change that is wrong, and how. Data, never an error of ours: it goes to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub code: RejectCode,
    /// The field that is wrong, if one is to blame, as a path into the change: `set.email`.
    pub field: Option<Box<str>>,
}

impl Rejection {
    #[must_use]
    pub fn new(code: RejectCode) -> Self {
        Self { code, field: None }
    }

    #[must_use]
    pub fn at(code: RejectCode, field: impl Into<Box<str>>) -> Self {
        Self { code, field: Some(field.into()) }
    }

    /// Blames a key that the producer made up, standing in `parent` (empty: in the change itself).
    ///
    /// The key is the one text of a producer's that a rejection repeats, because without it nobody finds the mistake.
    /// It is made fit for a header: what is not `[A-Za-z0-9_.-]` is percent-escaped, and it ends after
    /// [`Self::KEY_LEN_MAX`] characters, never within one of the key's own.
    #[must_use]
    pub fn at_key(code: RejectCode, parent: &str, key: &str) -> Self {
        let mut path = String::with_capacity(parent.len() + 1 + Self::KEY_LEN_MAX);
        path.push_str(parent);
        if !parent.is_empty() {
            path.push('.');
        }
        let end = path.len() + Self::KEY_LEN_MAX;
        for letter in key.chars() {
            let before = path.len();
            if letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-') {
                path.push(letter);
            } else {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    path.extend(['%', hex(byte >> 4), hex(byte & 15)]);
                }
            }
            if path.len() > end {
                path.truncate(before);
                break;
            }
        }
        Self::at(code, path)
    }

    /// Longest repetition of a producer's key, escapes included, in characters.
    pub const KEY_LEN_MAX: usize = 64;
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}

macro_rules! reject_codes {
    ($($variant:ident $code:literal $reason:literal,)*) => {
        /// The catalogue. A code is never renamed or used again for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RejectCode {
            $(#[doc = $reason] $variant,)*
        }

        impl RejectCode {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Every name, in the order of the catalogue.
            #[must_use]
            pub fn names() -> Vec<&'static str> {
                Self::ALL.iter().map(|code| code.as_str()).collect()
            }

            /// Stable kebab-case name, the value of `tw-code`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// One constant sentence, the value of `tw-reason`.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)* }
            }
        }
    };
}

reject_codes! {
    TooLarge "too-large" "the record, or what it becomes, is over the size limit",
    Undecodable "undecodable" "the bytes are no change in any known encoding",
    SchemaUnknown "schema-unknown" "the record names a schema that nobody registered here",
    KeyMissing "key-missing" "the record has no key",
    KeyMismatch "key-mismatch" "the record's key is not the user id of its value",
    Misplaced "misplaced" "the record is not in the partition that its key belongs to",
    Shape "shape" "the parts of the change contradict each other",
    FieldUnknown "field-unknown" "the field is none that a change or a profile has",
    FieldDuplicate "field-duplicate" "the field is named twice",
    FieldMissing "field-missing" "a required field is missing",
    FieldType "field-type" "the value has the wrong type or does not fit its type",
    TooDeep "too-deep" "the value is nested where a single value must be",
    TenantInvalid "tenant-invalid" "the tenant is not [a-z0-9][a-z0-9-]{0,62}",
    UserIdInvalid "user-id-invalid" "the user id is not 1 to 128 bytes of text without control characters",
    VersionNotAllowed "version-not-allowed" "a change on the raw topic may not bring a version",
    VersionInvalid "version-invalid" "the version is missing, not positive or not allowed for its lane",
    VersionInFuture "version-in-future" "the version lies more than a minute in the future",
    DerivedField "derived-field" "the field is derived by the pipeline; producers may not name it",
    FormatInvalid "format-invalid" "the value does not have the field's format",
    TextInvalid "text-invalid" "the text has control characters",
    TooLong "too-long" "the value is longer than the field allows",
    OutOfRange "out-of-range" "the number or time is outside the field's bounds",
    PatternMismatch "pattern-mismatch" "the text does not match the field's pattern",
    ChangeTooOld "change-too-old" "the change is older than the deletions that Cassandra still remembers",
    StoreRefused "store-refused" "Cassandra refuses this change, and accepts others like it",
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_producer_becomes_a_header_value() {
        let path = |parent: &str, key: &str| Rejection::at_key(RejectCode::FieldUnknown, parent, key).field.unwrap();
        assert_eq!(&*path("", "nick name"), "nick%20name");
        assert_eq!(&*path("set", "n\u{f6}\r\n"), "set.n%C3%B6%0D%0A");
        assert_eq!(&*path("set", ""), "set.");
        assert_eq!(path("set", &"x".repeat(1000)).len(), "set.".len() + Rejection::KEY_LEN_MAX);
        assert_eq!(&*path("", &"\0".repeat(1000)), "%00".repeat(21));
    }

    #[test]
    fn codes_are_unique_kebab_case_and_reasons_fit_a_header() {
        for (at, code) in RejectCode::ALL.iter().enumerate() {
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
            assert!(code.reason().bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{code}");
            assert!(RejectCode::ALL[..at].iter().all(|other| other.as_str() != code.as_str()), "{code} stands twice");
        }
    }
}

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
    SchemaUnknown "schema-unknown" "the record names a schema, or a field, that nobody registered here",
    KeyMissing "key-missing" "the record has a value but no key",
    KeyMismatch "key-mismatch" "the record's key is not the user id of its value",
    Misplaced "misplaced" "the record is not in the partition that its key belongs to",
    Shape "shape" "the parts of the change contradict each other",
    FieldUnknown "field-unknown" "a key that no change or profile has",
    FieldDuplicate "field-duplicate" "a key stands twice",
    FieldMissing "field-missing" "a required key is missing",
    FieldType "field-type" "a value has the wrong type or does not fit its type",
    TooDeep "too-deep" "values are nested where none may be",
    TenantInvalid "tenant-invalid" "the tenant is not [a-z0-9][a-z0-9-]{0,62}",
    UserIdInvalid "user-id-invalid" "the user id is not 1 to 128 bytes of text without control characters",
    VersionNotAllowed "version-not-allowed" "a change on the raw topic may not bring a version",
    VersionInvalid "version-invalid" "the version is missing, not positive or not allowed for its lane",
    VersionInFuture "version-in-future" "the version lies more than a minute in the future",
    DerivedField "derived-field" "the field is derived by the pipeline; producers may not name it",
    FormatInvalid "format-invalid" "the value does not have the field's format",
    TextInvalid "text-invalid" "the text has control characters",
    TooLong "too-long" "the value is longer than the field allows",
    OutOfRange "out-of-range" "the number is outside the field's bounds",
    PatternMismatch "pattern-mismatch" "the text does not match the field's pattern",
    ChangeTooOld "change-too-old" "the change is older than the deletions that Cassandra still remembers",
    StoreRefused "store-refused" "Cassandra refuses this change, and accepts others like it",
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

//! A profile's values by field position.
//!
//! The fields are known only at run time (from `profile.avsc`), so a row is a vector as long as the profile has
//! fields; position `i` belongs to field `i` of [`crate::Profile`].

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// One value of one profile field.
///
/// Enum symbols and UUIDs are [`FieldValue::Text`] (the symbol; hyphenated lower case), a date is
/// [`FieldValue::Int`] (days since 1970-01-01) and a timestamp [`FieldValue::Long`] (microseconds since then): the
/// primitive type that the Avro logical type annotates.
#[derive(Clone, PartialEq)]
pub enum FieldValue {
    Bool(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// Shows the type and a digest, never the value: values are user data and must not reach a log.
impl fmt::Debug for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hash = DefaultHasher::new();
        let kind = match self {
            Self::Bool(v) => (v.hash(&mut hash), "Bool").1,
            Self::Int(v) => (v.hash(&mut hash), "Int").1,
            Self::Long(v) => (v.hash(&mut hash), "Long").1,
            Self::Float(v) => (v.to_bits().hash(&mut hash), "Float").1,
            Self::Double(v) => (v.to_bits().hash(&mut hash), "Double").1,
            Self::Text(v) => (v.hash(&mut hash), "Text").1,
            Self::Bytes(v) => (v.hash(&mut hash), "Bytes").1,
        };
        write!(f, "{kind}(#{:08x})", hash.finish() >> 32)
    }
}

/// Values by field position; `None` is "not named" (in an upsert: absent).
///
/// A row may be shorter than the profile, down to empty for a delete: what lies beyond its end is not named.
#[derive(Clone, Debug, Default)]
pub struct Row(Vec<Option<FieldValue>>);

/// Rows are equal if they name the same fields with the same values, however long they were made.
impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Row {
    /// A row of `width` fields, none named.
    #[must_use]
    pub fn with_width(width: usize) -> Self {
        let mut values = Vec::with_capacity(width);
        values.resize_with(width, || None);
        Self(values)
    }

    #[must_use]
    pub fn get(&self, field: usize) -> Option<&FieldValue> {
        self.0.get(field).and_then(Option::as_ref)
    }

    /// Names `field`. A position at or beyond [`FieldSet::CAPACITY`] is ignored: profiles are checked at load.
    pub fn set(&mut self, field: usize, value: FieldValue) {
        if field >= FieldSet::CAPACITY {
            debug_assert!(false, "profiles have at most 64 fields");
            return;
        }
        if self.0.len() <= field {
            self.0.resize_with(field + 1, || None);
        }
        if let Some(slot) = self.0.get_mut(field) {
            *slot = Some(value);
        }
    }

    /// Takes the value of `field` out, leaving it not named.
    pub fn take(&mut self, field: usize) -> Option<FieldValue> {
        self.0.get_mut(field).and_then(Option::take)
    }

    /// The named fields.
    #[must_use]
    pub fn named(&self) -> FieldSet {
        self.0.iter().enumerate().filter(|(_, value)| value.is_some()).map(|(field, _)| field).collect()
    }

    /// Position and value of every named field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &FieldValue)> {
        self.0.iter().enumerate().filter_map(|(field, value)| value.as_ref().map(|value| (field, value)))
    }

    /// The slots by position, to write by; as long as the row was made.
    pub fn slots_mut(&mut self) -> &mut [Option<FieldValue>] {
        &mut self.0
    }
}

/// A set of field positions: one bit a field, which is why a profile has at most 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSet(u64);

impl FieldSet {
    pub const CAPACITY: usize = 64;
    pub const EMPTY: Self = Self(0);

    #[must_use]
    pub fn contains(self, field: usize) -> bool {
        field < Self::CAPACITY && self.0 >> field & 1 == 1
    }

    pub fn insert(&mut self, field: usize) {
        debug_assert!(field < Self::CAPACITY, "profiles have at most 64 fields");
        if field < Self::CAPACITY {
            self.0 |= 1 << field;
        }
    }

    pub fn remove(&mut self, field: usize) {
        if field < Self::CAPACITY {
            self.0 &= !(1 << field);
        }
    }

    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Positions in ascending order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let field = left.trailing_zeros() as usize;
            left &= left - 1;
            Some(field)
        })
    }
}

impl FromIterator<usize> for FieldSet {
    fn from_iter<I: IntoIterator<Item = usize>>(fields: I) -> Self {
        let mut set = Self::EMPTY;
        for field in fields {
            set.insert(field);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_print_never_shows_a_value() {
        let shown = format!("{:?}", FieldValue::Text("ada@example.com".into()));
        assert!(shown.starts_with("Text(#"));
        assert!(!shown.contains("ada"));
    }

    #[test]
    fn beyond_its_end_a_row_names_nothing() {
        let mut row = Row::default();
        assert_eq!(row.get(5), None);
        row.set(2, FieldValue::Bool(true));
        assert_eq!(row.named().iter().collect::<Vec<_>>(), [2]);
        assert_eq!(row.take(2), Some(FieldValue::Bool(true)));
        assert!(row.named().is_empty());
        assert_eq!(row, Row::with_width(64));
        row.set(63, FieldValue::Bool(true));
        assert_ne!(row, Row::with_width(64));
    }
}

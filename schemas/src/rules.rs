//! What a profile's values must be, and the one spelling each is kept in.
//!
//! One family of formats per file; all are pure and their data is compiled in, so that every host gives the same
//! result. A normalised value passes again and stays what it is. It can be longer than what was sent (composing can
//! treble a text, a host's name grows by its ASCII form), so a limit holds for what is stored.

mod codes;
mod contact;
mod text;

pub(crate) use codes::parse_uuid;
pub use contact::domain_of;

use crate::calendar;
use crate::profile::{Field, Format, Kind, Limit, Profile};
use crate::reject::{RejectCode, Rejection};
use crate::{Change, FieldValue};

/// Longest `source` of a change, in characters: it travels as a header.
pub const SOURCE_LEN_MAX: usize = 128;

/// The change with every value normalised, or why one cannot be.
///
/// The first field at fault, in the profile's order, is blamed as `set.<field>`.
///
/// # Errors
/// `text-invalid`, `format-invalid`, `too-long`, `out-of-range`, `pattern-mismatch`; `field-type` for a value that is
/// not of its field's kind.
pub fn check(profile: &Profile, mut change: Change) -> Result<Change, Rejection> {
    if let Some(source) = &change.source {
        check_source(source).map_err(|code| Rejection::at(code, "source"))?;
    }
    if change.occurred_at.is_some_and(|micros| !calendar::MICROS.contains(&micros)) {
        return Err(Rejection::at(RejectCode::OutOfRange, "occurred_at"));
    }
    for (field, slot) in profile.fields().iter().zip(change.set.slots_mut()) {
        if let Some(value) = slot.take() {
            let value = check_value(field, value);
            *slot = Some(value.map_err(|code| Rejection::at(code, format!("set.{}", field.name)))?);
        }
    }
    Ok(change)
}

fn check_source(source: &str) -> Result<(), RejectCode> {
    if source.chars().any(char::is_control) {
        return Err(RejectCode::TextInvalid);
    }
    if source.chars().count() > SOURCE_LEN_MAX {
        return Err(RejectCode::TooLong);
    }
    Ok(())
}

fn check_value(field: &Field, value: FieldValue) -> Result<FieldValue, RejectCode> {
    match (&field.kind, value) {
        (Kind::Boolean, FieldValue::Bool(value)) => Ok(FieldValue::Bool(value)),
        (Kind::Int, FieldValue::Int(number)) => {
            check_integer(field, i64::from(number)).map(|()| FieldValue::Int(number))
        }
        (Kind::Long, FieldValue::Long(number)) => check_integer(field, number).map(|()| FieldValue::Long(number)),
        (Kind::Float, FieldValue::Float(number)) => {
            check_real(field, f64::from(number)).map(|()| FieldValue::Float(number))
        }
        (Kind::Double, FieldValue::Double(number)) => check_real(field, number).map(|()| FieldValue::Double(number)),
        (Kind::Date, FieldValue::Int(days)) if calendar::DAYS.contains(&days) => Ok(FieldValue::Int(days)),
        (Kind::TimestampMicros, FieldValue::Long(micros)) if calendar::MICROS.contains(&micros) => {
            Ok(FieldValue::Long(micros))
        }
        (Kind::Date, FieldValue::Int(_)) | (Kind::TimestampMicros, FieldValue::Long(_)) => Err(RejectCode::OutOfRange),
        (Kind::String, FieldValue::Text(text)) => check_text(field, text).map(FieldValue::Text),
        (Kind::Enum(symbols), FieldValue::Text(symbol)) if symbols.iter().any(|known| **known == *symbol) => {
            Ok(FieldValue::Text(symbol))
        }
        (Kind::Uuid, FieldValue::Text(text)) => {
            codes::uuid(text).map(FieldValue::Text).ok_or(RejectCode::FormatInvalid)
        }
        (Kind::Bytes, FieldValue::Bytes(bytes)) => check_length(field, bytes.len()).map(|()| FieldValue::Bytes(bytes)),
        _ => Err(RejectCode::FieldType),
    }
}

fn check_integer(field: &Field, number: i64) -> Result<(), RejectCode> {
    let below = matches!(field.min, Some(Limit::Integer(min)) if number < min);
    let above = matches!(field.max, Some(Limit::Integer(max)) if number > max);
    if below || above { Err(RejectCode::OutOfRange) } else { Ok(()) }
}

/// Infinities and NaN are out of every range: JSON cannot carry them to a reader.
fn check_real(field: &Field, number: f64) -> Result<(), RejectCode> {
    let below = matches!(field.min, Some(Limit::Real(min)) if number < min);
    let above = matches!(field.max, Some(Limit::Real(max)) if number > max);
    if below || above || !number.is_finite() { Err(RejectCode::OutOfRange) } else { Ok(()) }
}

fn check_text(field: &Field, text: String) -> Result<String, RejectCode> {
    let text = text::normalised(text).ok_or(RejectCode::TextInvalid)?;
    let text = match field.format {
        Some(format) => formatted(format, text).ok_or(RejectCode::FormatInvalid)?,
        None => text,
    };
    if field.max_length.is_some_and(|max| text.len() > max) {
        check_length(field, text.chars().count())?;
    }
    if field.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(&text)) {
        return Err(RejectCode::PatternMismatch);
    }
    Ok(text)
}

fn check_length(field: &Field, length: usize) -> Result<(), RejectCode> {
    if field.max_length.is_some_and(|max| length > max) { Err(RejectCode::TooLong) } else { Ok(()) }
}

fn formatted(format: Format, text: String) -> Option<String> {
    match format {
        Format::Email => contact::email(text),
        Format::Phone => contact::phone(&text),
        Format::Url => contact::url(&text),
        Format::Country => codes::country(text),
        Format::Currency => codes::currency(text),
        Format::Locale => codes::locale(text),
        Format::TimeZone => codes::time_zone(text),
        Format::Date => calendar::days_of(&text).map(|_| text),
        Format::Uuid => codes::uuid(text),
    }
}

#[cfg(test)]
mod tests;

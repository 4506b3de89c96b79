//! Names that a register gives out: country, currency, locale, time zone, UUID.

use icu_locale_core::Locale;
use iso_currency::Currency;
use jiff::tz::TimeZoneDatabase;
use std::sync::LazyLock;
use uuid::Uuid;

/// Kosovo: a user-assigned code that ISO 3166 does not list and everybody uses.
const KOSOVO: &str = "XK";

/// The database compiled in, never the host's: all hosts must agree.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// ISO 3166-1 alpha-2 in upper case, and `XK`.
pub(super) fn country(mut text: String) -> Option<String> {
    text.make_ascii_uppercase();
    (text == KOSOVO || rust_iso3166::from_alpha2(&text).is_some()).then_some(text)
}

/// ISO 4217 in upper case, withdrawn currencies included: people still have accounts in them.
pub(super) fn currency(mut text: String) -> Option<String> {
    text.make_ascii_uppercase();
    Currency::from_code(&text).is_some().then_some(text)
}

/// A BCP 47 tag in canonical case and order; `en_us` is `en-US`.
pub(super) fn locale(text: String) -> Option<String> {
    let text = if text.contains('_') { text.replace('_', "-") } else { text };
    let locale = Locale::try_from_str(&text).ok()?;
    Some(if locale.strict_cmp(text.as_bytes()).is_eq() { text } else { locale.to_string() })
}

/// A name of the IANA time zone database in its own spelling. An older name (`Asia/Calcutta`) stays that name.
pub(super) fn time_zone(text: String) -> Option<String> {
    let zone = ZONES.get(&text).ok()?;
    if zone.is_unknown() {
        return None;
    }
    let name = zone.iana_name()?;
    Some(if name == text { text } else { name.to_owned() })
}

/// The hyphenated form in lower case; braces, `urn:uuid:` and 32 bare digits are refused.
pub(super) fn uuid(mut text: String) -> Option<String> {
    parse_uuid(&text)?;
    text.make_ascii_lowercase();
    Some(text)
}

/// A UUID written in its hyphenated form, in either case.
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    const HYPHENATED_LEN: usize = 36;
    (text.len() == HYPHENATED_LEN).then(|| Uuid::try_parse(text).ok())?
}

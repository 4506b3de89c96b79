//! Ways to reach somebody: e-mail, phone, URL.

use super::text;
use email_address::{EmailAddress, Options};
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};
use url::Url;

/// An address with a domain of at least two labels, the domain in lower case; the local part is its host's business.
///
/// No display name, no domain literal. Of ASCII, a domain has letters, digits, `-` and `.` only, which is stricter
/// than the library, whose domains may have any character of a local part.
pub(super) fn email(text: String) -> Option<String> {
    const OPTIONS: Options = Options { minimum_sub_domains: 2, allow_domain_literal: false, allow_display_text: false };
    let (local, domain) = text.rsplit_once('@')?;
    if domain.bytes().any(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric() && byte != b'-' && byte != b'.') {
        return None;
    }
    let text = if domain.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        text
    } else {
        text::composed(format!("{local}@{}", domain.to_lowercase()))
    };
    EmailAddress::parse_with_options(&text, OPTIONS).ok().map(|_| text)
}

/// What follows the last `@`; `None` if there is none.
#[must_use]
pub fn domain_of(email: &str) -> Option<&str> {
    email.rsplit_once('@').map(|(_, domain)| domain)
}

/// E.164 of a number that starts with `+` and that its country's plan has.
///
/// Digits may be set apart by spaces and `-./()`. Letters are refused: the library would take `FLOWERS` for digits,
/// drop an extension, and of `+49 30 1 / x 2` keep the first number without a word.
///
/// The library compiles a country's patterns when it first meets it and keeps them: about 0.7 MB a country.
pub(super) fn phone(text: &str) -> Option<String> {
    let digits = text.strip_prefix('+')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || b" -./()".contains(&byte));
    if !plain || !digits.ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    let number = PHONE_NUMBER_UTIL.parse(text, None).ok()?;
    if !PHONE_NUMBER_UTIL.is_valid_number(&number) {
        return None;
    }
    Some(PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned())
}

/// An `http` or `https` URL without user or password, as the URL standard writes it.
pub(super) fn url(text: &str) -> Option<String> {
    // The standard's parser repairs: it trims, and takes `https:host` and `https:\\host`. Nothing is repaired here.
    let (scheme, rest) = text.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    if rest.starts_with(['/', '\\']) || rest.ends_with(char::is_whitespace) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    (url.username().is_empty() && url.password().is_none()).then(|| url.into())
}

//! Text: composed (NFC), without control characters, otherwise as sent; nothing is trimmed.

use icu_normalizer::ComposingNormalizerBorrowed;
use std::borrow::Cow;

/// The text in NFC; `None` if it has a control character (C0, DEL, C1; so a line break, too).
pub(super) fn normalised(text: String) -> Option<String> {
    if text.is_ascii() {
        // All of it, with no way out at the first: only so is it looked at in blocks of many bytes.
        let has_control = text.bytes().fold(false, |found, byte| found | byte.is_ascii_control());
        return (!has_control).then_some(text);
    }
    if text.chars().any(char::is_control) {
        return None;
    }
    Some(composed(text))
}

/// The text in NFC, the same allocation if it already is.
pub(super) fn composed(text: String) -> String {
    const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();
    match NFC.normalize(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(composed) => composed,
    }
}

mod bad_tokens;
pub(super) mod forge;
mod good_tokens;
pub(super) mod issuer;
mod key_sets;

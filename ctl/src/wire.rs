//! Stand-in until schemas has topics and headers.
pub(crate) mod topics {
    pub(crate) const RAW: &str = "changes.raw.v1";
    pub(crate) const VALID: &str = "changes.valid.v1";
    pub(crate) const ENRICHED: &str = "changes.enriched.v1";
    pub(crate) const DEAD: &str = "changes.dead.v1";
}
pub(crate) mod headers {
    pub(crate) const AT: &str = "tw-at";
    pub(crate) const STAGE: &str = "tw-stage";
    pub(crate) const CODE: &str = "tw-code";
    pub(crate) const FIELD: &str = "tw-field";
    pub(crate) const REASON: &str = "tw-reason";
    pub(crate) const TOPIC: &str = "tw-topic";
    pub(crate) const PARTITION: &str = "tw-partition";
    pub(crate) const OFFSET: &str = "tw-offset";
    pub(crate) const ORIGIN: &str = "tw-origin";
    pub(crate) const VERSION: &str = "tw-version";
    pub(crate) const ID: &str = "tw-id";
    pub(crate) fn is_ours(name: &str) -> bool {
        name.starts_with("tw-")
    }
}

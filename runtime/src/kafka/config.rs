//! How to reach the brokers.

use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::fmt;

/// What every client of a process shares.
#[derive(Clone, Default)]
pub struct Config {
    /// `host:port`, comma separated: where the first connection goes.
    pub brokers: String,
    /// librdkafka's own settings (`security.protocol`, `sasl.password`, …), passed on as they are.
    pub extra: BTreeMap<String, String>,
}

impl Config {
    /// The settings every client starts from; what a client owns is set on top, so that it wins over `extra`.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in &self.extra {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }
}

/// Names the settings, never their values: passwords are among them.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.extra.keys().collect::<Vec<_>>();
        f.debug_struct("Config").field("brokers", &self.brokers).field("extra", &keys).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_print_never_shows_a_password() {
        let extra = BTreeMap::from([("sasl.password".to_owned(), "hunter2".to_owned())]);
        let shown = format!("{:?}", Config { brokers: "b:9092".into(), extra });
        assert!(shown.contains("sasl.password"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_brokers_win_over_an_extra_setting_of_the_same_meaning() {
        let extra = BTreeMap::from([("bootstrap.servers".to_owned(), "elsewhere:1".to_owned())]);
        let config = Config { brokers: "here:9092".into(), extra }.client_config();
        assert_eq!(config.get("bootstrap.servers"), Some("here:9092"));
    }
}

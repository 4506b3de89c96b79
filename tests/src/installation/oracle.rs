//! What an installation is held against: the history it was fed, and its own log.

use super::{FLOOR_MICROS, Installation};
use crate::history::History;
use ctl::verify::{Subject, Verdict, verify};
use runtime::kafka::{Cluster, Membership};
use runtime::record::Record;
use schemas::{Row, headers, topics};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

impl Installation {
    /// Panics unless the log alone proves that nothing is lost and no row wrong.
    pub async fn assert_proven(&self) {
        let verdict = self.verdict().await;
        assert!(verdict.changes > 0 && verdict.holds(), "{verdict:#?}");
    }

    /// What the log alone says of the rows.
    pub async fn verdict(&self) -> Verdict {
        let cluster = Cluster {
            client: self.kafka.clone(),
            topic_prefix: format!("{}.", self.name),
            group_prefix: format!("{}.", self.name),
            partitions: self.partitions,
            membership: Membership::default(),
            linger: Duration::ZERO,
        };
        let subject = Subject { cluster, cassandra: self.cassandra.clone(), floor_micros: FLOOR_MICROS };
        verify(&subject).await.unwrap()
    }

    /// Panics unless every record of `raw` is settled and every row is what `history` came to.
    pub async fn assert_is(&self, history: &History) {
        let wrong = self.wrong(history).await;
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
        self.assert_nothing_is_lost().await;
        self.assert_proven().await;
    }

    /// Rows that are not what `history` came to.
    pub async fn wrong(&self, history: &History) -> Vec<String> {
        let rows = self.rows().await;
        let strangers = rows.keys().filter(|user| !history.known().contains_key(*user));
        let mut wrong: Vec<String> = strangers.map(|user| format!("{user:?} is a stranger")).collect();
        for (user, known) in history.known() {
            let row = rows.get(user).cloned().unwrap_or_default();
            if row.alive() != known.is_alive || self.plain(&row.row) != known.row {
                wrong.push(format!("{user:?}: {row:?}, not {known:?}"));
            }
        }
        wrong
    }

    /// Panics unless each record of `raw` is, as an origin, in exactly one of `enriched` and the dead letters of the
    /// processors, always with the same version and id.
    pub async fn assert_nothing_is_lost(&self) {
        let forwarded = self.versions(topics::VALID).await;
        let arrived = self.versions(topics::ENRICHED).await;
        let dead: BTreeSet<String> = self.records(topics::DEAD).await.iter().filter_map(dead_origin).collect();
        for record in self.records(topics::RAW).await {
            let origin = format!("{}/{}/{}", topics::RAW, record.place.partition, record.offset);
            let settled = [arrived.contains_key(&origin), dead.contains(&origin)];
            assert!(settled == [true, false] || settled == [false, true], "{origin}: arrived, dead = {settled:?}");
            assert_eq!(arrived.get(&origin), forwarded.get(&origin).filter(|_| settled[0]), "{origin}");
        }
    }

    /// Version and id by origin; panics if copies of one origin differ in them.
    pub async fn versions(&self, topic: &str) -> BTreeMap<String, (i64, uuid::Uuid)> {
        let codec = self.codec();
        let mut versions = BTreeMap::new();
        for record in self.records(topic).await {
            let origin = record.headers.last(headers::ORIGIN).map(|origin| &origin[..]);
            let Ok(change) = codec.decode_own(record.value.as_deref(), origin) else { continue };
            let this = (change.version.get(), change.id);
            let first = *versions.entry(change.origin.to_string()).or_insert(this);
            assert_eq!(first, this, "{topic}: copies of {} differ", change.origin);
        }
        versions
    }

    /// A row without its derived fields.
    fn plain(&self, row: &Row) -> Row {
        let mut plain = row.clone();
        let derived = self.profile.fields().iter().enumerate().filter(|(_, field)| field.derived.is_some());
        derived.for_each(|(position, _)| drop(plain.take(position)));
        plain
    }
}

/// The origin of a dead letter that a processor wrote. What the sink refuses is in `enriched` as well.
fn dead_origin(letter: &Record) -> Option<String> {
    let text = |name| Some(String::from_utf8(letter.headers.last(name)?.to_vec()).unwrap());
    (text(headers::STAGE)? != "sink").then(|| text(headers::ORIGIN))?
}

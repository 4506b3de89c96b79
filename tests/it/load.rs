//! Changes that keep coming while something else happens.

use runtime::record::Outgoing;
use schemas::topics;
use std::time::Duration;
use tests::history::History;
use tests::installation::Installation;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two batches.
const PAUSE: Duration = Duration::from_millis(100);

/// Feeds `batch` changes of `history` ten times a second until `meanwhile` has ended; what that gives.
pub(crate) async fn under_load<T>(
    home: &Installation,
    history: &mut History,
    batch: usize,
    meanwhile: impl Future<Output = T>,
) -> T {
    let feed = home.feed(topics::RAW);
    let enough = CancellationToken::new();
    let load = async {
        while !enough.is_cancelled() {
            let records: Vec<Outgoing> = history.next(batch, &feed);
            feed.send(&records).await;
            sleep(PAUSE).await;
        }
    };
    let meanwhile = async {
        let outcome = meanwhile.await;
        enough.cancel();
        outcome
    };
    tokio::join!(load, meanwhile).1
}

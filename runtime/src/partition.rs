//! A partition that is ours: its ledger, its lanes and the one record that waits for room.

use crate::fault::Fault;
use crate::lane::{Job, lane_of};
use crate::ledger::{Entry, Frontier, Ledger, Ticket};
use crate::limits::Limits;
use crate::record::{Offset, Record, TopicPartition};
use crate::stage::Admitted;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Where an offered record went.
#[derive(Debug)]
pub(crate) enum Offer {
    Admitted,
    /// There is no room; the record waits here and the partition must not be read from.
    Parked,
    /// The lane has no task yet: make one with this receiver, and offer again.
    NeedsTask {
        lane: usize,
        jobs: mpsc::Receiver<Job>,
    },
}

#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) place: TopicPartition,
    pub(crate) ledger: Ledger,
    /// The fold's state behind the last admitted record.
    mark: i64,
    lanes: Vec<Option<Handle>>,
    parked: Option<Record>,
    /// Somebody had this partition before us, and no record of it has come yet.
    is_taken_over: bool,
    pub(crate) cancel: CancellationToken,
}

#[derive(Debug)]
struct Handle {
    jobs: mpsc::Sender<Job>,
    /// Admitted to this lane and not settled.
    len: usize,
}

impl Owned {
    pub(crate) fn new(place: TopicPartition, ledger: Ledger, cancel: CancellationToken) -> Self {
        let Frontier { offset, mark } = ledger.frontier();
        // Where nothing was ever settled there was nobody before us.
        let is_taken_over = offset > Offset(0);
        Self { place, ledger, mark, lanes: Vec::new(), parked: None, is_taken_over, cancel }
    }

    /// Whether a record is the first that comes after somebody else's; true once.
    pub(crate) fn takes_over(&mut self) -> bool {
        std::mem::take(&mut self.is_taken_over)
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    pub(crate) fn park(&mut self, record: Record) {
        debug_assert!(self.parked.is_none(), "I16: a stopped partition is not read from");
        self.parked = Some(record);
    }

    /// Forgets the waiting record: it was never admitted, so it will be read again.
    pub(crate) fn unpark(&mut self) {
        self.parked = None;
    }

    /// Admits the waiting record if its lane, the window and the byte share have room.
    ///
    /// # Errors
    /// Fatal if the source broke the order of offsets.
    pub(crate) fn offer(
        &mut self,
        limits: &Limits,
        share: usize,
        fold: impl FnOnce(i64, &Record) -> i64,
    ) -> Result<Offer, Fault> {
        let Some(record) = self.parked.take() else { return Ok(Offer::Admitted) };
        let index = lane_of(&record, limits.lanes);
        if self.lanes.len() <= index {
            self.lanes.resize_with(index + 1, || None);
        }
        let Some(slot) = self.lanes.get_mut(index) else { return Ok(Offer::Parked) };
        let Some(lane) = slot else {
            let (jobs, receiver) = mpsc::channel(limits.lane_len_max());
            *slot = Some(Handle { jobs, len: 0 });
            self.parked = Some(record);
            return Ok(Offer::NeedsTask { lane: index, jobs: receiver });
        };
        let bytes = record.bytes();
        let fits = lane.len < limits.lane_len_max()
            && self.ledger.span() < limits.span_max
            && (self.ledger.unsettled() == 0 || self.ledger.bytes().saturating_add(bytes) <= share);
        if !fits {
            self.parked = Some(record);
            return Ok(Offer::Parked);
        }
        let mark = fold(self.mark, &record);
        let at_ms = record.timestamp.millis().unwrap_or(0);
        let entry = Entry { offset: record.offset, mark, bytes, at_ms };
        let ticket = self
            .ledger
            .admit(entry)
            .map_err(|error| Fault::component(format!("{}: the log's order is broken", self.place), error))?;
        self.mark = mark;
        lane.len += 1;
        // There is room by our own count, so this fails only when the lane has ended: its report is on the way.
        if lane.jobs.try_send(Job { admitted: Admitted { record, mark }, ticket }).is_err() {
            debug_assert!(lane.jobs.is_closed(), "a lane's queue has the room that its count says");
        }
        Ok(Offer::Admitted)
    }

    /// Gives back the tickets of one batch of a lane.
    pub(crate) fn settle(&mut self, lane: usize, tickets: Vec<Ticket>) {
        if let Some(Some(lane)) = self.lanes.get_mut(lane) {
            lane.len = lane.len.saturating_sub(tickets.len());
        }
        for ticket in tickets {
            self.ledger.settle(ticket);
        }
    }
}

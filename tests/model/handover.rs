//! I7, I17 and the mark of I2: what is committed is kept, whoever owns the partition and whatever of a hand-over gets lost.
//!
//! **In the model**: one partition of a few records, a broker, two members. Each member has the product's own `Ledger`,
//! opened at the broker's commit under a new epoch, and lanes that write records in any order and give their tickets back
//! when they like, also long after the epoch is over. One commit per member is out at a time; its request or its answer
//! may get lost. A partition is revoked and drained, or the drain runs out; it is lost, and the member hears of that
//! late, works on, and tries to commit. The rules of `runtime::worker` about when to admit, commit and let go are retold
//! here, a line each; what a ledger makes of it is the product's code.
//!
//! **How a ledger is part of a state**: tickets cannot be copied, which is their point, so a state keeps the calls since
//! the ledger was opened, and each step makes them again. Two states are one if their ledgers print the same, and
//! a ledger prints all that it has.
//!
//! **The broker** takes a commit of the member to which it gave the partition last, and of nobody else.
//!
//! Members are alike, so states that differ in who is who are one; the actions of a way name places, not members.
//!
//! **Not in the model**: keys (lanes are one record long), the window and the byte share, how long anything takes, other
//! partitions. Those are the simulation's.

use crate::{assert_found, assert_holds, is_large};
use runtime::ledger::{Entry, Epoch, Frontier, Ledger, Ticket};
use runtime::record::Offset;
use stateright::{Model, Property};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

const KEPT: &str = "everything below a commit is durable";
const MARKED: &str = "a commit has the fold's state at its offset";
const FORWARD: &str = "neither a frontier nor a commit steps back";
const VOID: &str = "a ticket of a past epoch moves nothing";
const PEACEFUL: &str = "what is let go in peace is settled and committed";
const DONE: &str = "when nothing can happen any more, everything is committed";

/// An error of whoever uses the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    CommitOnDispatch,
    /// What is behind the newest settled record, whatever lies before it.
    CommitNewestSettled,
    MarkOfHead,
    SettleBeforeWrite,
    NoDrainOnRevoke,
    TicketWithoutEpoch,
    CommittedBeforeConfirmed,
    /// A new owner begins behind what the log has, not at the commit.
    ResumeAtHead,
}

/// A [`Frontier`] on its way to the broker, or there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Commit {
    offset: i64,
    mark: i64,
}

impl From<Frontier> for Commit {
    fn from(frontier: Frontier) -> Self {
        Self { offset: frontier.offset.0, mark: frontier.mark }
    }
}

/// One call of a ledger.
#[derive(Clone, Copy, Debug)]
enum Call {
    Admit,
    /// Of the ticket given at the `n`th admission.
    Settle(u8),
    Committed(u8),
}

/// A ledger, as the calls that it got, and what it says of itself behind them.
#[derive(Clone, Debug)]
struct Stretch {
    epoch: u8,
    start: u8,
    calls: Vec<Call>,
    print: String,
    frontier: Frontier,
    uncommitted: Option<Frontier>,
    unsettled: usize,
}

impl PartialEq for Stretch {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Eq for Stretch {}

impl PartialOrd for Stretch {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Stretch {
    fn cmp(&self, other: &Self) -> Ordering {
        self.print.cmp(&other.print)
    }
}

impl Hash for Stretch {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.print.hash(state);
    }
}

/// A record in a lane: its ticket is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Work {
    epoch: u8,
    start: u8,
    /// Which admission of its epoch.
    nth: u8,
    is_written: bool,
}

impl Work {
    fn offset(self) -> u8 {
        self.start + self.nth
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Member {
    stretch: Option<Stretch>,
    is_draining: bool,
    /// In order: lanes are alike.
    lanes: Vec<Work>,
    /// Offset and mark of the commit that is out, the epoch it is of, and the broker's name for that.
    commit: Option<(Commit, u8, u8)>,
    epoch: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    revocations: u8,
    losses: u8,
    cuts: u8,
    commits: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    committed: Commit,
    /// As bits.
    durable: u8,
    owner: Option<usize>,
    /// How often the broker gave the partition away.
    generation: u8,
    members: [Member; 2],
    left: Budget,
    /// A property that one step broke, not a state.
    broken: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Assign(usize),
    Admit(usize),
    Write(usize, Work),
    Settle(usize, Work),
    Commit(usize),
    Confirm(usize),
    /// The broker has it, and the member does not hear of it.
    ConfirmUnheard(usize),
    /// It never comes to the broker, or is fenced off there; the member hears of an error.
    CommitFails(usize),
    Revoke(usize),
    LetGo(usize),
    /// The drain runs out.
    Cut(usize),
    /// The broker gives the member up.
    Lose(usize),
    /// The member hears of it.
    HearOfLoss(usize),
}

#[derive(Clone, Copy, Debug)]
struct World {
    sabotage: Option<Sabotage>,
    records: u8,
    budget: Budget,
}

fn frontier(offset: u8) -> Frontier {
    Frontier { offset: Offset(offset.into()), mark: i64::from(offset) * 8 }
}

fn entry(offset: u8) -> Entry {
    Entry { offset: Offset(offset.into()), mark: i64::from(offset) * 8 + 8, bytes: 1, at_ms: 0 }
}

/// The ticket of the `nth` admission of an epoch that was opened at `start`.
fn ticket(epoch: u8, start: u8, nth: u8) -> Ticket {
    let mut ledger = Ledger::open(Epoch(epoch.into()), frontier(start));
    let tickets: Vec<Ticket> = (start..=start + nth).map(|offset| ledger.admit(entry(offset)).unwrap()).collect();
    tickets.into_iter().next_back().unwrap()
}

impl Stretch {
    fn open(epoch: u8, start: u8) -> Self {
        let resume = frontier(start);
        let calls = Vec::new();
        let mut stretch =
            Self { epoch, start, calls, print: String::new(), frontier: resume, uncommitted: None, unsettled: 0 };
        stretch.look(&stretch.ledger());
        stretch
    }

    /// The product's ledger behind all calls.
    fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::open(Epoch(self.epoch.into()), frontier(self.start));
        let mut tickets = Vec::new();
        for call in &self.calls {
            match *call {
                Call::Admit => {
                    let offset = self.start + u8::try_from(tickets.len()).unwrap();
                    tickets.push(Some(ledger.admit(entry(offset)).unwrap()));
                }
                Call::Settle(nth) => {
                    let ticket: Option<Ticket> = tickets[usize::from(nth)].take();
                    assert!(ledger.settle(ticket.unwrap()), "a ticket of the present epoch settles");
                }
                Call::Committed(offset) => ledger.committed(Offset(offset.into())),
            }
        }
        ledger
    }

    /// Makes one more call; whether the frontier stepped back.
    fn call(&mut self, call: Call) -> bool {
        let before = self.frontier.offset;
        self.calls.push(call);
        let ledger = self.ledger();
        self.look(&ledger);
        self.frontier.offset < before
    }

    fn look(&mut self, ledger: &Ledger) {
        self.print = format!("{ledger:?}");
        self.frontier = ledger.frontier();
        self.uncommitted = ledger.uncommitted();
        self.unsettled = ledger.unsettled();
    }

    /// The offset behind the last admission.
    fn head(&self) -> u8 {
        let admitted = self.calls.iter().filter(|call| matches!(call, Call::Admit)).count();
        self.start + u8::try_from(admitted).unwrap()
    }

    fn is_settled(&self, nth: u8) -> bool {
        self.calls.iter().any(|call| matches!(call, Call::Settle(settled) if *settled == nth))
    }

    /// The offset behind the newest settled record.
    fn newest_settled(&self) -> u8 {
        let settled = self.calls.iter().filter_map(|call| match call {
            Call::Settle(nth) => Some(self.start + nth + 1),
            Call::Admit | Call::Committed(_) => None,
        });
        settled.max().unwrap_or(self.start)
    }
}

impl World {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    /// What the member would commit now.
    fn next_commit(&self, stretch: &Stretch) -> Option<Frontier> {
        let beyond = |offset: u8| (Offset(offset.into()) > stretch.frontier.offset).then(|| frontier(offset));
        match self.sabotage {
            Some(Sabotage::CommitOnDispatch) => beyond(stretch.head()).or(stretch.uncommitted),
            Some(Sabotage::CommitNewestSettled) => beyond(stretch.newest_settled()).or(stretch.uncommitted),
            Some(Sabotage::MarkOfHead) => {
                stretch.uncommitted.map(|to| Frontier { mark: frontier(stretch.head()).mark, ..to })
            }
            _ => stretch.uncommitted,
        }
    }

    fn member_actions(&self, state: &State, at: usize, actions: &mut Vec<Action>) {
        let member = &state.members[at];
        for work in &member.lanes {
            if !work.is_written {
                actions.push(Action::Write(at, *work));
            }
            if work.is_written || self.is(Sabotage::SettleBeforeWrite) {
                actions.push(Action::Settle(at, *work));
            }
        }
        if let Some((_, _, generation)) = member.commit {
            if state.owner == Some(at) && state.generation == generation {
                actions.push(Action::Confirm(at));
                if state.left.commits > 0 {
                    actions.extend([Action::ConfirmUnheard(at), Action::CommitFails(at)]);
                }
            } else {
                actions.push(Action::CommitFails(at));
            }
        }
        let is_owner = state.owner == Some(at);
        let Some(stretch) = &member.stretch else { return };
        if !member.is_draining && stretch.head() < self.records {
            actions.push(Action::Admit(at));
        }
        if member.commit.is_none() && self.next_commit(stretch).is_some() && (is_owner || state.left.commits > 0) {
            actions.push(Action::Commit(at));
        }
        if !is_owner {
            actions.push(Action::HearOfLoss(at));
            return;
        }
        if state.left.losses > 0 {
            actions.push(Action::Lose(at));
        }
        if !member.is_draining {
            if state.left.revocations > 0 {
                actions.push(Action::Revoke(at));
            }
            return;
        }
        let is_quiet = stretch.unsettled == 0 && stretch.uncommitted.is_none() && member.commit.is_none();
        if is_quiet || self.is(Sabotage::NoDrainOnRevoke) {
            actions.push(Action::LetGo(at));
        } else if state.left.cuts > 0 {
            actions.push(Action::Cut(at));
        }
    }

    /// Gives back a ticket, to whichever ledger is there.
    fn settle(&self, state: &mut State, at: usize, work: Work) {
        let member = &mut state.members[at];
        member.lanes.retain(|other| *other != work);
        let Some(stretch) = &mut member.stretch else { return };
        let is_past = stretch.epoch != work.epoch;
        if is_past && !self.is(Sabotage::TicketWithoutEpoch) {
            let mut ledger = stretch.ledger();
            let moved = ledger.settle(ticket(work.epoch, work.start, work.nth));
            if moved || format!("{ledger:?}") != stretch.print {
                state.broken = Some(VOID);
            }
            return;
        }
        // Without its epoch a ticket is that of whichever record has its number now.
        let has_slot = stretch.start + work.nth < stretch.head() && !stretch.is_settled(work.nth);
        if has_slot && stretch.call(Call::Settle(work.nth)) {
            state.broken = Some(FORWARD);
        }
    }

    fn start_commit(&self, state: &mut State, at: usize) -> Option<()> {
        let generation = state.generation;
        let is_owner = state.owner == Some(at);
        let member = &mut state.members[at];
        let stretch = member.stretch.as_mut()?;
        let to = self.next_commit(stretch)?;
        // A commit by somebody who was given up is of an older generation, whatever that was.
        member.commit =
            Some((to.into(), stretch.epoch, if is_owner { generation } else { generation.wrapping_sub(1) }));
        if !is_owner {
            // So that it does not try for ever in vain.
            state.left.commits -= 1;
        }
        if self.is(Sabotage::CommittedBeforeConfirmed) {
            stretch.call(Call::Committed(u8::try_from(to.offset.0).ok()?));
        }
        Some(())
    }

    fn land(&self, state: &mut State, at: usize, is_heard: bool) -> Option<()> {
        let member = &mut state.members[at];
        let (to, epoch, _) = member.commit.take()?;
        if to.offset < state.committed.offset {
            state.broken = Some(FORWARD);
        }
        state.committed = to;
        let stretch = member.stretch.as_mut().filter(|stretch| stretch.epoch == epoch);
        if is_heard && let Some(stretch) = stretch {
            // No further than the ledger itself says: it asserts that, and the broker has the wrong one all the same.
            let offset = to.offset.min(stretch.frontier.offset.0);
            stretch.call(Call::Committed(u8::try_from(offset).ok()?));
        }
        Some(())
    }

    fn let_go(&self, state: &mut State, at: usize) -> Option<()> {
        let member = &mut state.members[at];
        let stretch = member.stretch.take()?;
        member.is_draining = false;
        state.owner = None;
        let is_out = member.lanes.iter().any(|work| work.epoch == stretch.epoch);
        if is_out || state.committed.offset != i64::from(stretch.head()) {
            state.broken = Some(PEACEFUL);
        }
        Some(())
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            committed: frontier(0).into(),
            durable: 0,
            owner: None,
            generation: 0,
            members: Default::default(),
            left: self.budget,
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for at in 0..2 {
            if state.owner.is_none() {
                actions.push(Action::Assign(at));
            }
            self.member_actions(state, at, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Assign(at) => {
                state.owner = Some(at);
                state.generation += 1;
                let member = &mut state.members[at];
                member.epoch += 1;
                let start = u8::try_from(state.committed.offset).ok()?;
                let start = if self.is(Sabotage::ResumeAtHead) && member.epoch > 1 { self.records } else { start };
                member.stretch = Some(Stretch::open(member.epoch, start));
                member.is_draining = false;
            }
            Action::Admit(at) => {
                let member = &mut state.members[at];
                let stretch = member.stretch.as_mut()?;
                let nth = stretch.head() - stretch.start;
                stretch.call(Call::Admit);
                member.lanes.push(Work { epoch: stretch.epoch, start: stretch.start, nth, is_written: false });
                member.lanes.sort_unstable();
            }
            Action::Write(at, work) => {
                state.durable |= 1 << work.offset();
                let lanes = &mut state.members[at].lanes;
                lanes.iter_mut().find(|other| **other == work)?.is_written = true;
                lanes.sort_unstable();
            }
            Action::Settle(at, work) => self.settle(&mut state, at, work),
            Action::Commit(at) => self.start_commit(&mut state, at)?,
            Action::Confirm(at) => self.land(&mut state, at, true)?,
            Action::ConfirmUnheard(at) => {
                state.left.commits -= 1;
                self.land(&mut state, at, false)?;
            }
            Action::CommitFails(at) => {
                let (_, _, generation) = state.members[at].commit.take()?;
                if state.owner == Some(at) && state.generation == generation {
                    state.left.commits -= 1;
                }
            }
            Action::Revoke(at) => {
                state.left.revocations -= 1;
                state.members[at].is_draining = true;
            }
            Action::LetGo(at) => self.let_go(&mut state, at)?,
            Action::Cut(at) => {
                state.left.cuts -= 1;
                state.owner = None;
                state.members[at].stretch = None;
                state.members[at].is_draining = false;
            }
            Action::Lose(_) => {
                state.left.losses -= 1;
                state.owner = None;
            }
            Action::HearOfLoss(at) => {
                state.members[at].stretch = None;
                state.members[at].is_draining = false;
            }
        }
        if state.members[1] < state.members[0] {
            state.members.swap(0, 1);
            state.owner = state.owner.map(|at| 1 - at);
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(KEPT, |_, state: &State| {
                (0..state.committed.offset).all(|offset| state.durable & (1 << offset) != 0)
            }),
            Property::always(MARKED, |_, state: &State| state.committed.mark == state.committed.offset * 8),
            Property::always(FORWARD, |_, state: &State| state.broken != Some(FORWARD)),
            Property::always(VOID, |_, state: &State| state.broken != Some(VOID)),
            Property::always(PEACEFUL, |_, state: &State| state.broken != Some(PEACEFUL)),
            Property::always(DONE, |world: &Self, state: &State| {
                let mut actions = Vec::new();
                world.actions(state, &mut actions);
                !actions.is_empty() || state.committed == frontier(world.records).into()
            }),
            Property::sometimes("a late ticket meets a new epoch of its own member", |_, state: &State| {
                state.members.iter().any(|member| {
                    let epoch = member.stretch.as_ref().map(|stretch| stretch.epoch);
                    epoch.is_some_and(|epoch| member.lanes.iter().any(|work| work.is_written && work.epoch != epoch))
                })
            }),
            Property::sometimes("everything is committed", |world: &Self, state: &State| {
                state.committed == frontier(world.records).into()
            }),
        ]
    }
}

const SMALL: Budget = Budget { revocations: 1, losses: 1, cuts: 1, commits: 1 };

/// I7, I17.
#[test]
fn whoever_owns_a_partition_and_whatever_is_lost_what_is_committed_is_kept() {
    let records = 2;
    assert_holds("handover", World { sabotage: None, records, budget: SMALL });
    if is_large() {
        assert_holds("handover, more records", World { sabotage: None, records: 3, budget: SMALL });
        let budget = Budget { revocations: 2, losses: 2, cuts: 1, commits: 2 };
        assert_holds("handover, more of everything", World { sabotage: None, records, budget });
    }
}

#[test]
fn every_error_around_the_ledger_is_found() {
    for (sabotage, property) in [
        (Sabotage::CommitOnDispatch, KEPT),
        (Sabotage::CommitNewestSettled, KEPT),
        (Sabotage::SettleBeforeWrite, KEPT),
        (Sabotage::TicketWithoutEpoch, KEPT),
        (Sabotage::ResumeAtHead, DONE),
        (Sabotage::CommittedBeforeConfirmed, DONE),
        (Sabotage::MarkOfHead, MARKED),
    ] {
        let budget = Budget { revocations: 0, ..SMALL };
        assert_found(sabotage, property, World { sabotage: Some(sabotage), records: 3, budget });
    }
    let sabotage = Sabotage::NoDrainOnRevoke;
    assert_found(sabotage, PEACEFUL, World { sabotage: Some(sabotage), records: 2, budget: SMALL });
}

//! A path that goes on working while it is looked at: random schedules, each from a seed.

use super::HOPS;
use crate::fates::{Fates, LOOK_EVERY};
use crate::log::{Hop, Log, LogError};
use runtime::offsets::{Span, Watermarks};
use runtime::record::Record;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::time::sleep;

/// One partition of a path whose workers forward, reject, commit and are replaced.
#[derive(Clone)]
struct Moving(Arc<Mutex<Path>>);

struct Path {
    dice: u64,
    is_growing: bool,
    /// By worker its input: numbers of raw records.
    inputs: [Vec<usize>; 3],
    /// By worker the next record that it reads, and what it has committed.
    next: [usize; 3],
    committed: [usize; 3],
    /// Raw records that were rejected or written.
    ended: BTreeSet<usize>,
}

impl Path {
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    fn step(&mut self) {
        let worker = usize::try_from(self.roll(3)).unwrap();
        match self.roll(20) {
            0..2 if self.is_growing => {
                let number = self.inputs[0].len();
                self.inputs[0].push(number);
            }
            0..2 => {}
            2..16 => self.work(worker),
            16..19 => self.committed[worker] = self.next[worker],
            // Another takes over, and does again what was not committed.
            _ => self.next[worker] = self.committed[worker],
        }
    }

    fn work(&mut self, worker: usize) {
        let Some(number) = self.inputs[worker].get(self.next[worker]).copied() else { return };
        self.next[worker] += 1;
        let is_rejected = (number * 7 + worker * 3).is_multiple_of(11);
        match self.inputs.get_mut(worker + 1) {
            Some(output) if !is_rejected => output.push(number),
            Some(_) | None => {
                self.ended.insert(number);
            }
        }
    }
}

impl Moving {
    fn new(seed: u64) -> Self {
        let inputs = [const { Vec::new() }; 3];
        let (next, committed, ended) = ([0; 3], [0; 3], BTreeSet::new());
        Self(Arc::new(Mutex::new(Path { dice: seed, is_growing: true, inputs, next, committed, ended })))
    }

    /// The world does not stand still while somebody asks.
    fn ask<T>(&self, answer: impl FnOnce(&Path) -> T) -> T {
        let mut path = self.0.lock().unwrap();
        for _ in 0..path.roll(12) {
            path.step();
        }
        let answer = answer(&path);
        for _ in 0..path.roll(12) {
            path.step();
        }
        answer
    }

    /// The first of so many raw records that has not ended.
    fn lost(&self, count: usize) -> Option<usize> {
        let path = self.0.lock().unwrap();
        (0..count).find(|number| !path.ended.contains(number))
    }

    fn at(topic: &str) -> usize {
        HOPS.iter().position(|hop| hop.topic == topic).unwrap()
    }
}

impl Log for Moving {
    fn partitions(&self) -> i32 {
        1
    }

    fn hops(&self) -> &'static [Hop] {
        &HOPS
    }

    async fn held(&self, topic: &'static str, partition: i32) -> Result<Watermarks, LogError> {
        let high = self.ask(|path| path.inputs[Self::at(topic)].len());
        Ok(Watermarks { partition, low: 0, high: i64::try_from(high).unwrap() })
    }

    async fn committed(&self, hop: Hop, _: i32) -> Result<i64, LogError> {
        Ok(i64::try_from(self.ask(|path| path.committed[Self::at(hop.topic)])).unwrap())
    }

    async fn since(&self, _: &'static str, _: i32, _: i64) -> Result<i64, LogError> {
        unreachable!("nobody asks for letters")
    }

    async fn read(&self, _: &'static str, _: Span) -> Result<Vec<Record>, LogError> {
        unreachable!("nobody asks for letters")
    }
}

/// How many raw records count as settled.
async fn settled(fates: &Fates<Moving>) -> usize {
    let mut settled = 0;
    while fates.is_settled(0, i64::try_from(settled).unwrap()).await.unwrap() {
        settled += 1;
    }
    settled
}

#[tokio::test(start_paused = true)]
async fn whatever_workers_do_meanwhile_what_counts_as_settled_is_and_all_is_in_the_end() {
    for seed in 0..300 {
        let path = Moving::new(seed);
        let fates = Fates::new(path.clone());
        for _ in 0..60 {
            let settled = settled(&fates).await;
            let lost = path.lost(settled);
            assert_eq!(lost, None, "seed {seed}: {settled} count as settled");
            sleep(LOOK_EVERY).await;
        }
        let so_far = settled(&fates).await;
        let done = path.lost(usize::MAX).unwrap();
        assert!(so_far > done / 10, "seed {seed}: while more came up behind, {so_far} of {done} count as settled");
        path.0.lock().unwrap().is_growing = false;
        for _ in 0..200 {
            settled(&fates).await;
            sleep(LOOK_EVERY).await;
        }
        let (all, end) = (settled(&fates).await, path.0.lock().unwrap().inputs[0].len());
        assert_eq!(all, end, "seed {seed}");
    }
}

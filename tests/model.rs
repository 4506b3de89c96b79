//! Every state that a small world can get into, not only those that dice come across.
//!
//! Two models, each built around the product's own pure code: [`cache`] the cache protocol around
//! `store::cache::protocol`, [`handover`] commits and rebalances around `runtime::ledger`. Each is searched to its end and
//! must hold, and each of its errors, planted one by one, must be found: a model that finds nothing proves nothing.
//!
//! The worlds of `make test` are small. `MODEL=large cargo test --release -p tests --test model -- --nocapture` searches
//! larger ones, for many minutes. The numbers of states and a short way to each error are printed.
#![cfg(test)]

#[path = "model/cache.rs"]
mod cache;
#[path = "model/handover.rs"]
mod handover;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use std::fmt::Debug;
use std::hash::Hash;

/// Whether a person asked for the large worlds.
fn is_large() -> bool {
    #[allow(clippy::disallowed_methods, reason = "the size is typed by a person, or by a soak")]
    std::env::var("MODEL").is_ok_and(|size| size == "large")
}

/// Searches every state of `model` until a property fails, about level by level, so that ways are short.
///
/// Gives what fails and the way there, or the number of states in which all of it holds.
fn search<M>(model: M) -> Result<usize, (&'static str, Vec<M::Action>)>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Debug + Clone + PartialEq,
{
    let properties = model.properties();
    let checker = model.checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    for Property { expectation, name, .. } in &properties {
        if let (Expectation::Always, Some(way)) = (expectation, checker.discovery(name)) {
            return Err((name, way.into_actions()));
        }
    }
    // A world in which nothing happens proves nothing.
    for Property { expectation, name, .. } in properties {
        assert!(
            expectation != Expectation::Sometimes || checker.discovery(name).is_some(),
            "it never comes to: {name}"
        );
    }
    Ok(checker.unique_state_count())
}

/// Says that a model holds, and over how many states.
#[track_caller]
fn assert_holds<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Debug + Clone + PartialEq,
{
    match search(model) {
        Ok(states) => println!("{name}: holds in all of {states} states"),
        Err((property, way)) => panic!("{name}: not {property}, after {way:?}"),
    }
}

/// Says that an error is found as what it is, and how.
#[track_caller]
fn assert_found<M>(sabotage: impl Debug, property: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Debug + Clone + PartialEq,
{
    match search(model) {
        Ok(states) => panic!("{sabotage:?}: nobody finds it in {states} states"),
        Err((found, way)) => {
            println!("{sabotage:?} -> not {found}, after {way:?}");
            assert_eq!(found, property, "{sabotage:?} is found as something else");
        }
    }
}

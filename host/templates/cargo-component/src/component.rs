//! The interfaces of the contract, wit/strategy.wit, around the policy.

use std::cell::RefCell;

use crate::bindings;
use crate::bindings::exports::pointsman::strategy::feedback::{self, Outcome};
use crate::bindings::exports::pointsman::strategy::meta::{self, Info};
use crate::bindings::exports::pointsman::strategy::router::{self, Candidate, Decision, Request, Setup};
use crate::policy::{REASONS, RegionFirst};

struct Component;

thread_local! {
    /// The one instance that a component holds, from `init` on; a component has a single thread.
    static STRATEGY: RefCell<Option<RegionFirst>> = const { RefCell::new(None) };
}

impl router::Guest for Component {
    fn init(setup: Setup) -> Result<(), String> {
        let labels: Vec<_> = setup.targets.into_iter().map(|target| target.labels).collect();
        let strategy = RegionFirst::new(&labels, &setup.config)?;
        STRATEGY.set(Some(strategy));
        Ok(())
    }

    fn route(request: Request, candidates: Vec<Candidate>) -> Result<Decision, String> {
        let candidates = candidates.into_iter().map(|candidate| candidate.target).collect();
        STRATEGY.with_borrow(|strategy| {
            let strategy = strategy.as_ref().ok_or("route was called before init")?;
            let (order, reason) = strategy.route(request.seq, candidates);
            // `reasons` may say why for each of the order, and `excluded` names those that must never be tried.
            Ok(Decision { order, reason, reasons: Vec::new(), excluded: Vec::new() })
        })
    }
}

impl meta::Guest for Component {
    fn describe() -> Info {
        Info {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: env!("CARGO_PKG_DESCRIPTION").to_owned(),
            reasons: REASONS.map(str::to_owned).to_vec(),
            // With true, `feedback::observe` is told how attempts ended.
            observes: false,
        }
    }
}

impl feedback::Guest for Component {
    fn observe(_: Vec<Outcome>) {}
}

bindings::export!(Component with_types_in bindings);

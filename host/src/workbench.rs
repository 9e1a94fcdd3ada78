//! For those who write strategies and approaches: what a file is, whether it keeps the contract, and what it makes of
//! traffic. Nothing in here is ever on the path of a request.
//!
//! `examine` reads a file without running it; `battery` tries the claims of the contract; `fixtures` plays decisions
//! that its author has written down; `rehearse` plays runs to an approach; `replay` and `rerun` ask it again what has been
//! recorded; `simulate` gives it a day of traffic; `cost` counts what one request costs, `eval`
//! compares approaches on questions.

mod asked;
mod battery;
mod columns;
pub mod cost;
pub mod eval;
mod examine;
mod fixtures;
mod rehearse;
mod replay;
mod rerun;
pub mod simulate;

use columns::columns;

pub use battery::{Claim, Inspection, Subject, Timing, inspect, run as try_out};
pub use examine::{Class, Examined, Import, examine};
pub use fixtures::{Played, facts_of, play_fixtures};
pub use rehearse::Rehearsal;
pub use replay::{Comparison, Example, ReplayError, Respondent, Skipped, compare};
pub use rerun::{Difference, Rerun, RerunError, rerun};

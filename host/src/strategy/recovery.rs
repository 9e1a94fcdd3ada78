//! Decides when a broken strategy is built anew: at once, until it breaks again and again.
//!
//! Plain functions over time as data; the caller holds the lock and has the clock.

use std::time::Duration;

use tokio::time::Instant;

/// The faults in a row after which there is a pause.
const PATIENCE: u32 = 3;

/// The first pause; each further fault doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A fault after this many good calls is the first of a new row.
const GOOD_CALLS: u64 = 10_000;

/// A fault after this long a time is the first of a new row.
const GOOD_TIME: Duration = Duration::from_secs(60);

/// The state of a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// An instance answers.
    Healthy,
    /// An instance is being made; meanwhile the default order is used.
    Rebuilding,
    /// It broke too often; the default order is used until the pause is over and one more instance is tried.
    BackingOff,
}

impl State {
    /// The word for `/health`.
    pub fn name(self) -> &'static str {
        match self {
            State::Healthy => "healthy",
            State::Rebuilding => "rebuilding",
            State::BackingOff => "backing_off",
        }
    }
}

/// The step that follows a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Make another instance now.
    Rebuild,
    /// Make one at the first request after this pause.
    Pause(Duration),
    /// Nothing: others answer, or a pause has begun.
    Nothing,
}

/// The memory of faults.
#[derive(Debug, Default)]
pub struct Recovery {
    phase: Phase,
    strikes: u32,
    last: Option<Instant>,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Healthy,
    Rebuilding,
    BackingOff {
        until: Instant,
    },
}

impl Recovery {
    /// An instance broke, after `good_calls` calls that went well; `others` answer still.
    pub fn broke(&mut self, now: Instant, good_calls: u64, others: usize) -> Next {
        if matches!(self.phase, Phase::BackingOff { .. }) {
            // Of several that broke at the same time, the last ones: they are one reason for a pause.
            return Next::Nothing;
        }
        let forgiven = good_calls >= GOOD_CALLS || self.last.is_none_or(|last| now.duration_since(last) >= GOOD_TIME);
        self.strikes = if forgiven { 1 } else { self.strikes.saturating_add(1) };
        self.last = Some(now);
        if self.strikes >= PATIENCE {
            return Next::Pause(self.pause(now));
        }
        if others > 0 {
            return Next::Nothing;
        }
        self.phase = Phase::Rebuilding;
        Next::Rebuild
    }

    /// No instance could be made: pauses, since trying again at once would fail the same way.
    pub fn failed(&mut self, now: Instant) -> Duration {
        self.strikes = self.strikes.saturating_add(1).max(PATIENCE);
        self.last = Some(now);
        self.pause(now)
    }

    fn pause(&mut self, now: Instant) -> Duration {
        let doubled = 2_u32.saturating_pow(self.strikes - PATIENCE);
        let pause = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
        self.phase = Phase::BackingOff { until: now + pause };
        pause
    }

    /// True when the caller is the one who must make an instance now, the pause being over.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = matches!(self.phase, Phase::BackingOff { until } if until <= now);
        if due {
            self.phase = Phase::Rebuilding;
        }
        due
    }

    /// True when an instance that has been made may take its place; its predecessors' faults are remembered. False when a
    /// pause has begun meanwhile.
    pub fn admits(&mut self) -> bool {
        let pauses = matches!(self.phase, Phase::BackingOff { .. });
        if !pauses {
            self.phase = Phase::Healthy;
        }
        !pauses
    }

    /// The state of the strategy.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Healthy => State::Healthy,
            Phase::Rebuilding => State::Rebuilding,
            Phase::BackingOff { .. } => State::BackingOff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_fault_in_a_row_begins_a_pause_that_doubles() {
        let (mut recovery, mut now) = (Recovery::default(), Instant::now());
        assert_eq!(recovery.broke(now, 5, 0), Next::Rebuild);
        assert!(recovery.admits());
        assert_eq!(recovery.broke(now, 5, 0), Next::Rebuild);
        for millis in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            assert!(recovery.admits());
            let pause = Duration::from_millis(millis);
            assert_eq!(recovery.broke(now, 0, 0), Next::Pause(pause));
            assert!(!recovery.is_due(now + pause - Duration::from_millis(1)));
            now += pause;
            assert!(recovery.is_due(now));
            assert!(!recovery.is_due(now), "one probe only");
        }
    }

    #[test]
    fn good_calls_and_time_are_forgiving() {
        let (mut recovery, now) = (Recovery::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(recovery.broke(now, 10_000, 0), Next::Rebuild);
        }
        for minutes in 1..10 {
            assert_eq!(recovery.broke(now + minutes * Duration::from_secs(60), 0, 0), Next::Rebuild);
        }
    }

    #[test]
    fn while_others_answer_nothing_is_made_and_of_many_faults_at_once_there_is_one_pause() {
        let (mut recovery, now) = (Recovery::default(), Instant::now());
        assert_eq!(recovery.broke(now, 5, 2), Next::Nothing);
        assert_eq!(recovery.state(), State::Healthy);
        assert_eq!(recovery.broke(now, 5, 0), Next::Rebuild);
        assert_eq!(recovery.broke(now, 5, 1), Next::Pause(FIRST_PAUSE));
        for _ in 0..10 {
            assert_eq!(recovery.broke(now, 5, 0), Next::Nothing);
        }
        assert!(!recovery.admits(), "one that was made for the fault before");
        assert!(recovery.is_due(now + FIRST_PAUSE) && recovery.admits());
        assert_eq!(recovery.broke(now, 0, 0), Next::Pause(2 * FIRST_PAUSE));
    }
}

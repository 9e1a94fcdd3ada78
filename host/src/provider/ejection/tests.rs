//! The laws of health, on a clock that stands still.

use super::*;
use crate::routing::{FailureKind, Lack, Phase};

const POLICY: Policy = Policy { cooldown: Duration::from_secs(30), failures: 3, track_errors: true };
const BROKEN: Outcome = Outcome::Failed(FailureKind::Status(500));
const REFUSED: Outcome = Outcome::Failed(FailureKind::Refused);
const MODEL: ModelKey = ModelKey::NONE;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn down() -> CheckResult {
    CheckResult::Down("timed out".to_owned())
}

/// A provider under attempts and checks, with its trail, as the fleet keeps them.
#[derive(Clone)]
struct Seen {
    health: Health,
    trail: Trail,
    begun: u32,
    policy: Policy,
    now: Instant,
}

impl Seen {
    fn new() -> Self {
        Self { health: Health::default(), trail: Trail::default(), begun: 0, policy: POLICY, now: Instant::now() }
    }

    /// An attempt that begins and ends now. Whether anything was to be written.
    fn attempt(&mut self, outcome: Outcome) -> bool {
        self.attempt_of(outcome, self.health.epoch())
    }

    fn attempt_of(&mut self, outcome: Outcome, epoch: u64) -> bool {
        let evidence = outcome.evidence();
        let (number, model) = (self.begin(), MODEL);
        let attempt = Attempt { outcome, evidence, epoch, number, model, limits_account: false, reason: None };
        let marked = attempt.mark(self.policy).map(|mark| self.trail.after(epoch, number, mark));
        self.trail = marked.unwrap_or(self.trail);
        let after = self.health.after_attempt(&attempt, self.trail, self.now, self.policy, 7);
        let writes = marked.is_some() || after.is_some();
        self.go_on_as(after);
        writes
    }

    fn begin(&mut self) -> u32 {
        self.begun += 1;
        self.begun - 1
    }

    fn go_on_as(&mut self, after: Option<Health>) {
        let Some(after) = after else { return };
        if after.epoch() != self.health.epoch() {
            self.trail = Trail::anew(after.epoch(), self.begun);
        }
        self.health = after;
    }

    fn check(&mut self, result: &CheckResult) {
        if let Some(failed) = self.health.mark_of(result, self.now) {
            let number = self.begin();
            if failed {
                self.trail = self.trail.after(self.health.epoch(), number, Mark::Failed);
            }
        }
        let after = self.health.after_check(result, self.trail, self.now, self.policy, 7);
        self.go_on_as(after);
    }

    fn fails(&mut self, times: usize) {
        for _ in 0..times {
            self.attempt(BROKEN);
        }
    }

    fn standing(&self) -> Standing {
        self.health.standing(self.now)
    }

    /// The seconds for which it is out.
    fn out(&self) -> f64 {
        self.health.ejected_until().map_or(0.0, |until| (until - self.now).as_secs_f64())
    }

    /// Goes to the end of the ejection.
    fn wait(&mut self) {
        self.now = self.health.ejected_until().expect("ejected");
    }

    fn admission(&self, checks: bool) -> Admission {
        self.health.admission(MODEL, checks, self.now)
    }
}

#[test]
fn one_odd_answer_ejects_nobody_and_three_in_a_row_do() {
    let mut a = Seen::new();
    a.fails(2);
    a.attempt(Outcome::Succeeded);
    a.fails(2);
    assert_eq!(a.standing(), Standing::Admitted);
    a.fails(1);
    assert_eq!(a.standing(), Standing::Ejected);
    assert_eq!(a.health.reason(), Some("answered 500"));
}

#[test]
fn a_provider_that_fails_every_second_request_is_ejected_by_its_share() {
    let mut a = Seen::new();
    for _ in 0..3 {
        a.attempt(Outcome::Succeeded);
        assert_eq!(a.standing(), Standing::Admitted);
        a.fails(1);
    }
    assert_eq!(a.standing(), Standing::Ejected);
}

#[test]
fn hard_evidence_ejects_at_once() {
    let timed_out = [Phase::Connect, Phase::Request, Phase::Idle].map(|phase| Outcome::TimedOut { phase });
    for outcome in timed_out.into_iter().chain([REFUSED]) {
        let mut a = Seen::new();
        a.attempt(outcome);
        assert_eq!(a.standing(), Standing::Ejected, "{outcome}");
    }
}

#[test]
fn the_clients_fault_and_a_client_that_leaves_are_no_evidence() {
    let mut a = Seen::new();
    for outcome in [Outcome::Rejected(400), Outcome::Cancelled, Outcome::Declined(501), Outcome::NotFound] {
        for _ in 0..5 {
            a.attempt(outcome);
        }
    }
    a.attempt(Outcome::Failed(FailureKind::Local(Lack::Ports)));
    assert!(a.health.is_well());
}

#[test]
fn a_success_of_a_provider_that_is_well_writes_nothing() {
    let mut a = Seen::new();
    let written = (0..1000).filter(|_| a.attempt(Outcome::Succeeded)).count();
    assert_eq!(written, 1, "that it has answered at all");
}

#[test]
fn errors_that_are_not_tracked_never_eject_but_a_refused_key_does() {
    let mut a = Seen::new();
    a.policy.track_errors = false;
    for outcome in [BROKEN, REFUSED, Outcome::TimedOut { phase: Phase::Request }, Outcome::Interrupted] {
        for _ in 0..10 {
            a.attempt(outcome);
        }
    }
    assert_eq!(a.standing(), Standing::Admitted);
    a.attempt(Outcome::Unauthorized(401));
    assert_eq!((a.standing(), a.out()), (Standing::Ejected, 30.0), "and waits for the whole cool-down at once");
}

#[test]
fn an_ejection_doubles_with_each_in_a_row_up_to_the_cooldown_and_a_good_request_ends_the_row() {
    let mut a = Seen::new();
    a.attempt(REFUSED);
    for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        assert!((expected..=30.0_f64.min(expected * 1.1)).contains(&a.out()), "{expected}: {}", a.out());
        a.wait();
        assert_eq!(a.standing(), Standing::Probing);
        a.fails(1);
    }
    a.wait();
    a.attempt(Outcome::Succeeded);
    assert!(a.health.is_well());
    a.attempt(REFUSED);
    assert!(a.out() < 1.2, "{}", a.out());
}

#[test]
fn failures_in_flight_together_are_one_strike_and_the_last_resort_adds_none() {
    let mut a = Seen::new();
    a.attempt(REFUSED);
    let out = a.out();
    a.attempt_of(REFUSED, 0);
    a.attempt(REFUSED);
    assert_eq!((a.out(), a.health.epoch()), (out, 1));
}

#[test]
fn a_success_from_before_the_ejection_does_not_admit_but_one_from_after_it_does() {
    let mut a = Seen::new();
    a.attempt(REFUSED);
    a.attempt_of(Outcome::Succeeded, 0);
    assert_eq!(a.standing(), Standing::Ejected);
    a.attempt(Outcome::Succeeded);
    assert!(a.health.is_well());
}

#[test]
fn a_check_admits_after_the_ejection_and_one_request_at_a_time_until_one_has_gone_well() {
    let mut a = Seen::new();
    a.attempt(REFUSED);
    a.check(&CheckResult::Alive);
    assert_eq!(a.standing(), Standing::Ejected, "it answered its checks all along");
    a.wait();
    assert_eq!(a.admission(true), Admission::Closed, "the check is the trial");
    a.check(&CheckResult::Alive);
    assert_eq!((a.standing(), a.admission(true)), (Standing::Admitted, Admission::OneAtATime));
    let mut fails = a.clone();
    fails.fails(1);
    assert!(fails.standing() == Standing::Ejected && fails.out() >= 2.0, "the row goes on: {}", fails.out());
    a.attempt(Outcome::Succeeded);
    assert_eq!(a.admission(true), Admission::Free);
}

#[test]
fn without_checks_a_request_is_the_trial() {
    let mut a = Seen::new();
    a.attempt(REFUSED);
    assert_eq!(a.admission(false), Admission::Closed);
    a.wait();
    assert_eq!(a.admission(false), Admission::OneAtATime);
}

#[test]
fn a_failed_check_is_one_piece_of_evidence_which_successes_outweigh() {
    let mut a = Seen::new();
    for _ in 0..50 {
        a.check(&down());
        a.attempt(Outcome::Succeeded);
        a.attempt(Outcome::Succeeded);
    }
    assert_eq!(a.standing(), Standing::Admitted);
    for _ in 0..3 {
        a.check(&down());
    }
    assert_eq!((a.standing(), a.health.reason()), (Standing::Ejected, Some("active check: timed out")));
}

#[test]
fn checks_that_fail_now_and_then_are_taken_back_by_those_that_do_not() {
    let mut a = Seen::new();
    for _ in 0..50 {
        a.check(&down());
        a.check(&CheckResult::Alive);
        a.check(&CheckResult::Alive);
    }
    assert_eq!(a.standing(), Standing::Admitted);
}

#[test]
fn good_checks_say_nothing_for_a_provider_that_fails_its_requests() {
    let mut a = Seen::new();
    for _ in 0..3 {
        a.check(&CheckResult::Alive);
        a.fails(1);
    }
    assert_eq!(a.standing(), Standing::Ejected);
}

#[test]
fn where_checks_alone_speak_against_a_provider_a_request_is_its_trial() {
    let mut a = Seen::new();
    for _ in 0..3 {
        a.check(&down());
    }
    a.wait();
    a.check(&down());
    assert_eq!((a.standing(), a.admission(true)), (Standing::Probing, Admission::OneAtATime));
    a.attempt(Outcome::Succeeded);
    assert_eq!(a.admission(true), Admission::Free);
}

#[test]
fn a_provider_that_is_down_is_watched_and_its_first_answer_admits_it() {
    let mut a = Seen::new();
    a.attempt(Outcome::Succeeded);
    a.attempt(REFUSED);
    // Down for an hour: long ejections, and a check each second.
    for _ in 0..3600 {
        a.check(&down());
        let (regular, last) = (a.now + seconds(30), a.now);
        let due = a.health.next_check(last, 9, regular, a.now);
        assert!(due - last <= WATCH, "{:?}", due - last);
        a.now = due.max(last + Duration::from_millis(10));
    }
    a.check(&down());
    assert!(a.health.ejected_until().is_some());
    a.now += seconds(1);
    a.check(&CheckResult::Alive);
    assert_eq!(a.admission(true), Admission::OneAtATime);
}

#[test]
fn a_provider_that_has_never_answered_is_checked_again_after_1_2_4_seconds() {
    let mut a = Seen::new();
    a.policy.failures = 20;
    let due = |a: &Seen, failed| a.health.next_check(a.now, failed, a.now + seconds(30), a.now) - a.now;
    for (failed, expected) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (40, 30)] {
        assert_eq!(due(&a, failed), seconds(expected));
    }
    a.check(&CheckResult::Alive);
    assert_eq!(due(&a, 1), seconds(30));
}

#[test]
fn a_refused_key_waits_whatever_its_checks_say_and_again_when_a_check_is_refused() {
    let mut a = Seen::new();
    a.attempt(Outcome::Unauthorized(402));
    a.check(&down());
    a.check(&CheckResult::Alive);
    assert_eq!(a.standing(), Standing::Ejected);
    a.wait();
    a.check(&CheckResult::Refused("did not accept the proxy's key (401)".to_owned()));
    assert!((a.out() - 30.0).abs() < 0.01, "{}", a.out());
}

#[test]
fn a_provider_that_limits_our_rate_is_well() {
    let mut a = Seen::new();
    a.attempt(Outcome::Throttled { retry_after: Some(seconds(7)) });
    assert_eq!((a.standing(), a.admission(true)), (Standing::Admitted, Admission::Closed));
    a.now += seconds(7);
    assert_eq!(a.admission(true), Admission::Free);
}

#[test]
fn a_rate_limit_answered_to_a_trial_ends_the_ejection() {
    let mut a = Seen::new();
    a.attempt(REFUSED);
    a.wait();
    a.attempt(Outcome::Throttled { retry_after: Some(seconds(7)) });
    assert_eq!((a.standing(), a.admission(false)), (Standing::Admitted, Admission::Closed));
    a.now += seconds(7);
    assert_eq!(a.admission(false), Admission::OneAtATime);
}

#[test]
fn jitter_lengthens_by_at_most_a_tenth_and_differs() {
    let lasts = |chance| {
        let attempt = Attempt {
            outcome: REFUSED,
            evidence: Evidence::Hard,
            epoch: 0,
            number: 0,
            model: MODEL,
            limits_account: false,
            reason: Some("refused the connection: no route"),
        };
        let now = Instant::now();
        let health = Health::default().after_attempt(&attempt, Trail::default(), now, POLICY, chance).expect("ejected");
        assert_eq!(health.reason(), Some("refused the connection: no route"));
        (health.ejected_until().expect("ejected") - now).as_secs_f64()
    };
    let all: Vec<f64> = (0..100).map(lasts).collect();
    assert!(all.iter().all(|lasts| (1.0..=1.1).contains(lasts)), "{all:?}");
    assert!(all.iter().any(|lasts| *lasts < 1.03) && all.iter().any(|lasts| *lasts > 1.07), "{all:?}");
}

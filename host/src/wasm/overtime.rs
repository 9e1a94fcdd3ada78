//! Extra time for a call beyond its deadline, for time in which the system did not run it.
//!
//! Deadlines use wall-clock time, which goes on while the system does not run our thread. On a busy machine a harmless
//! call of a microsecond is sometimes preempted for longer than its whole deadline. If that were a fault, three of them
//! would silence a strategy just when there is much to route. So once the deadline has passed, the CPU time of the
//! thread counts.

use std::time::Duration;

/// The CPU time that a call may use after its deadline.
const PROCESSOR_TIME: Duration = Duration::from_millis(4);

/// The most graces of 5 ms: beyond them, a thread that gets no processor is not waited for any longer.
const GRACES: u32 = 40;

/// The overtime of one call.
#[derive(Debug, Default)]
pub struct Overtime {
    graces: u32,
    /// The thread's CPU time when the deadline passed.
    spent: Option<Duration>,
}

impl Overtime {
    /// Decides whether the call, whose time is up, gets a grace.
    pub fn goes_on(&mut self) -> bool {
        self.goes_on_having(processor_time())
    }

    fn goes_on_having(&mut self, spent: Option<Duration>) -> bool {
        self.graces += 1;
        if self.graces == 1 {
            self.spent = spent;
            return true;
        }
        // If the system does not report CPU time, there is one grace.
        let since = spent.zip(self.spent).map(|(now, then)| now.saturating_sub(then));
        since.is_some_and(|since| since < PROCESSOR_TIME) && self.graces <= GRACES
    }
}

/// The CPU time of this thread. To ask costs some hundred nanoseconds.
///
/// By the C library: rustix reads the auxiliary vector for it, which it cannot under valgrind, where it ends the process.
#[expect(unsafe_code, reason = "the C library is asked; see SAFETY")]
pub fn processor_time() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes one `timespec`, to which it is given a pointer that is valid for that.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0;
    let time = Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?);
    (!failed).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[test]
    fn a_call_that_runs_all_the_time_gets_one_grace() {
        let mut overtime = Overtime::default();
        assert!(overtime.goes_on_having(millis(10)));
        assert!(!overtime.goes_on_having(millis(15)));
    }

    #[test]
    fn a_call_that_was_not_run_is_waited_for_but_not_for_ever() {
        let mut overtime = Overtime::default();
        for _ in 0..GRACES {
            assert!(overtime.goes_on_having(millis(10)));
        }
        assert!(!overtime.goes_on_having(millis(10)));
    }

    #[test]
    fn where_the_system_does_not_tell_there_is_one_grace() {
        let mut overtime = Overtime::default();
        assert!(overtime.goes_on_having(None));
        assert!(!overtime.goes_on_having(None));
    }

    #[test]
    fn the_processors_time_grows_with_work() {
        let before = processor_time().expect("the system tells");
        let mut sum = 0_u64;
        while processor_time().expect("the system tells") < before + Duration::from_millis(2) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(sum > 0);
    }
}

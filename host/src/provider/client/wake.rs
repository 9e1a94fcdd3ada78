//! A waker for two things that are polled together by one task and wake each other.
//!
//! Wake-ups between a connection and the answer that it carries come while they are being polled, and lead to another
//! round at once, within the same poll. Only those from outside, that is from the socket, wake the task. Without this
//! every request would have its task polled twice as often as anything happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// At most so many rounds before other tasks get their turn.
const ROUNDS: usize = 16;

/// Nobody polls.
const IDLE: u8 = 0;
/// Somebody polls: there is no need to wake.
const POLLING: u8 = 1;
/// Somebody polls, and should once more.
const AGAIN: u8 = 2;

/// Polls its parts as one.
#[derive(Debug)]
pub struct Together {
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Bell {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Default for Together {
    fn default() -> Self {
        let bell = Arc::<Bell>::default();
        Self { waker: Waker::from(Arc::clone(&bell)), bell }
    }
}

impl Together {
    /// Calls `round` until it is ready or nothing more happens within it; later events wake the task of `context`.
    pub fn poll<T>(&self, context: &Context<'_>, mut round: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.bell.task.register(context.waker());
        self.poll_quietly(&mut round)
    }

    /// As [`Together::poll`], with nobody to wake later.
    pub fn poll_quietly<T>(&self, mut round: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let mut context = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS {
            self.bell.state.store(POLLING, Ordering::SeqCst);
            let polled = round(&mut context);
            let more = self.bell.state.swap(IDLE, Ordering::SeqCst) == AGAIN;
            if polled.is_ready() || !more {
                return polled;
            }
        }
        // Other tasks want their turn, and the runtime may have said so by this very wake.
        self.bell.task.wake();
        Poll::Pending
    }

    /// Forgets the task: what happens from now on concerns nobody.
    pub fn forget(&self) {
        self.bell.task.take();
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let seen = self.state.compare_exchange(POLLING, AGAIN, Ordering::SeqCst, Ordering::SeqCst);
        if seen == Err(IDLE) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_wake_within_a_round_leads_to_another_and_does_not_reach_the_task() {
        let task = Arc::<Task>::default();
        let (waker, together) = (Waker::from(Arc::clone(&task)), Together::default());
        let mut rounds = 0;
        let polled = together.poll(&Context::from_waker(&waker), |context| {
            rounds += 1;
            if rounds < 3 {
                context.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert_eq!((polled, rounds), (Poll::Pending, 3));
        assert_eq!(task.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_wake_in_every_round_leaves_the_rest_to_the_task() {
        let task = Arc::<Task>::default();
        let (waker, together) = (Waker::from(Arc::clone(&task)), Together::default());
        let polled = together.poll(&Context::from_waker(&waker), |context| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!((polled, task.0.load(Ordering::Relaxed)), (Poll::Pending, 1));
    }

    #[test]
    fn a_wake_between_two_polls_reaches_the_task_that_polled_last_unless_it_was_forgotten() {
        let (first, last) = (Arc::<Task>::default(), Arc::<Task>::default());
        let together = Together::default();
        let mut kept = None;
        for task in [&first, &last] {
            let waker = Waker::from(Arc::clone(task));
            let polled = together.poll(&Context::from_waker(&waker), |context| {
                kept = Some(context.waker().clone());
                Poll::<()>::Pending
            });
            assert_eq!(polled, Poll::Pending);
        }
        let kept = kept.expect("polled");
        kept.wake_by_ref();
        let woken = || (first.0.load(Ordering::Relaxed), last.0.load(Ordering::Relaxed));
        assert_eq!(woken(), (0, 1));
        together.forget();
        kept.wake_by_ref();
        assert_eq!(woken(), (0, 1));
    }
}

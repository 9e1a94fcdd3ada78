//! Deadlines that first check what has arrived, and do not count the time in which this process did not run.
//!
//! After a pause of the process (SIGSTOP, `docker pause`, a machine that sleeps) all timers are due at once, and the
//! first ones would fire although the answer is already in the kernel's buffers. A timer that fires late is the sign of
//! such a pause.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that fires this late means that the process was paused. On a machine that is merely busy it is far less.
const LATE: Duration = Duration::from_millis(500);
/// The longest time of a pause that is not counted.
const MOST: Duration = Duration::from_secs(30);

/// The deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

pin_project! {
    /// A future with a deadline. A type of its own: an `async` function would have room for the future twice, where it is given
    /// and where it is polled, and so would each function around it.
    struct Until<F> {
        #[pin]
        future: F,
        #[pin]
        timer: Sleep,
    }
}

/// Waits for `future` until `deadline`. Dropping the result drops the future.
///
/// # Errors
///
/// [`Elapsed`] when it is not ready by then, although the process was running.
pub fn until<F: Future>(deadline: Instant, future: F) -> impl Future<Output = Result<F::Output, Elapsed>> {
    Until { future, timer: sleep_until(deadline) }
}

impl<F: Future> Future for Until<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        loop {
            ready!(this.timer.as_mut().poll(context));
            match forgiven(this.timer.deadline(), Instant::now()) {
                Some(later) => this.timer.as_mut().reset(later),
                None => return Poll::Ready(Err(Elapsed)),
            }
        }
    }
}

/// The deadline that replaces `due`, whose timer has fired at `now`; `None` if `due` counts.
pub fn forgiven(due: Instant, now: Instant) -> Option<Instant> {
    let late = now.saturating_duration_since(due);
    (late >= LATE).then(|| now + late.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_holds_to_the_millisecond() {
        let began = Instant::now();
        assert_eq!(until(began + Duration::from_secs(3), std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        assert_eq!(until(Instant::now(), std::future::ready(7)).await, Ok(7), "what is there is looked at first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_the_process_is_forgiven_once_and_for_as_long_as_it_was() {
        let began = Instant::now();
        let mut waiting = Box::pin(until(began + Duration::from_secs(3), std::future::pending::<()>()));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        // The clock advances while nothing runs.
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(waiting.await, Err(Elapsed));
        assert_eq!(began.elapsed(), Duration::from_secs(7));
    }
}

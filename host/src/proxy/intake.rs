//! Reads a request's body, bounded in size and time, before the request takes a slot of anything.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

pub mod budget;

use super::respond::ProxyError;
use crate::http1::fields::Fields;
use crate::listener::{Arriving, Cut};
use budget::{Budget, Reserved};

/// The time without a byte after which a client is given up.
const PAUSE: Duration = Duration::from_secs(30);
/// The time that a whole body gets for each KiB that has come, in addition to the pause: otherwise one byte within each
/// pause would hold a request and its memory for ever.
const PER_KIB: Duration = Duration::from_secs(1);
/// The most time that fast bytes earn: without a bound, 31 MiB at once would earn hours.
const MAX_CREDIT: Duration = Duration::from_secs(60);
/// The most bytes of a too large body that are read and thrown away, so that the client, which reads only when it has
/// written, sees the answer instead of a broken connection.
const MAX_DISCARDED: u64 = 64 << 20;
/// The limit of its time.
const MAX_DISCARDING: Duration = Duration::from_secs(5);
/// The most bytes that are read of a request that is answered without its body.
const MAX_REST: usize = 64 << 10;
/// The limit of its time.
const MAX_REST_TIME: Duration = Duration::from_millis(500);

/// A body that can be read to its end.
pub trait Readable: Body<Data = Bytes> + Unpin {
    /// All of it, if it is there already.
    fn take_whole(&mut self) -> Option<Bytes>;

    /// Reads what comes next into `whole`, and says how much that was; `None` at the end.
    fn poll_into(&mut self, context: &mut Context<'_>, whole: &mut BytesMut) -> Poll<Option<Result<usize, Cut>>>;
}

impl Readable for Arriving {
    fn take_whole(&mut self) -> Option<Bytes> {
        Arriving::take_whole(self)
    }

    fn poll_into(&mut self, context: &mut Context<'_>, whole: &mut BytesMut) -> Poll<Option<Result<usize, Cut>>> {
        Arriving::poll_into(self, context, whole)
    }
}

/// Reads the whole body, and returns the part of `budget` that it holds: nothing if it came in one piece, which is in
/// the memory of its connection already.
///
/// # Errors
///
/// [`ProxyError::TooLarge`], [`ProxyError::CutOff`], [`ProxyError::TooSlow`] or [`ProxyError::Crowded`].
pub async fn read(
    mut body: impl Readable,
    headers: &Fields,
    limit: usize,
    budget: &Budget,
) -> Result<(Bytes, Option<Reserved>), ProxyError> {
    if let Some(whole) = body.take_whole() {
        return if whole.len() > limit { Err(ProxyError::TooLarge(limit)) } else { Ok((whole, None)) };
    }
    let mut pace = Pace::new();
    let announced = announced(headers);
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(refuse(&mut body, limit, announced).await);
    }
    let Some(first) = next(&mut body, &mut pace).await? else { return Ok((Bytes::new(), None)) };
    if first.len() > limit {
        return Err(refuse(&mut body, limit, None).await);
    }
    if announced == Some(first.len() as u64) {
        return Ok((first, None));
    }
    let asked = Instant::now();
    let mut reserved = budget.reserve(announced, PAUSE).await?;
    // The wait for memory is not the client's fault.
    pace.excuse(asked.elapsed());
    let reserve = usize::try_from(announced.unwrap_or(0)).unwrap_or(0);
    let mut whole = BytesMut::with_capacity(reserve.max(first.len()));
    whole.extend_from_slice(&first);
    drop(first);
    loop {
        // Bytes go straight to where they stay, in reads as large as what is missing.
        let read = poll_fn(|context| body.poll_into(context, &mut whole));
        let size = match timeout_at(pace.deadline(), read).await {
            Err(_elapsed) => return Err(ProxyError::TooSlow),
            Ok(None) => break,
            Ok(Some(Err(_cut))) => return Err(ProxyError::CutOff),
            Ok(Some(Ok(size))) => size,
        };
        pace.came(size);
        if whole.len() > limit {
            drop(whole);
            drop(reserved);
            return Err(refuse(&mut body, limit, None).await);
        }
        reserved.grow(whole.len(), limit).await?;
    }
    reserved.shrink(whole.len());
    Ok((whole.freeze(), Some(reserved)))
}

fn announced(headers: &Fields) -> Option<u64> {
    headers.text(CONTENT_LENGTH)?.parse().ok()
}

/// The pace that a body must keep: each KiB buys a second, and no more than [`MAX_CREDIT`] can be saved up.
struct Pace {
    /// The time at which the earned time is used up.
    due: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { due: Instant::now() + PAUSE }
    }

    fn excuse(&mut self, wait: Duration) {
        self.due += wait;
    }

    /// The time by which the next piece must have come.
    fn deadline(&self) -> Instant {
        self.due.min(Instant::now() + PAUSE)
    }

    fn came(&mut self, bytes: usize) {
        let bought = PER_KIB.mul_f64(bytes as f64 / 1024.0);
        self.due = (self.due + bought).min(Instant::now() + MAX_CREDIT);
    }
}

/// The next piece with bytes in it.
async fn next(body: &mut (impl Body<Data = Bytes> + Unpin), pace: &mut Pace) -> Result<Option<Bytes>, ProxyError> {
    loop {
        match timeout_at(pace.deadline(), body.frame()).await {
            Err(_elapsed) => return Err(ProxyError::TooSlow),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_cut))) => return Err(ProxyError::CutOff),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    pace.came(data.len());
                    return Ok(Some(data));
                }
                Err(_trailers) => {}
            },
        }
    }
}

/// Reads the rest of a request that is answered without it, if that is small and arrives at once. True when it has come
/// to its end: then the connection can be used again.
pub async fn discard(mut body: impl Body<Data = Bytes> + Unpin) -> bool {
    let end = Instant::now() + MAX_REST_TIME;
    let mut discarded = 0;
    while discarded <= MAX_REST {
        match timeout_at(end, body.frame()).await {
            Ok(None) => return true,
            Ok(Some(Ok(frame))) => discarded += frame.data_ref().map_or(0, Bytes::len),
            Ok(Some(Err(_))) | Err(_) => return false,
        }
    }
    false
}

/// Reads on for a while and throws everything away.
async fn refuse(body: &mut (impl Body<Data = Bytes> + Unpin), limit: usize, announced: Option<u64>) -> ProxyError {
    if announced.is_none_or(|length| length <= limit as u64 + MAX_DISCARDED) {
        let end = Instant::now() + MAX_DISCARDING;
        let mut discarded = 0;
        while let Ok(Some(Ok(frame))) = timeout_at(end, body.frame()).await {
            discarded += frame.data_ref().map_or(0, |data| data.len() as u64);
            if discarded > limit as u64 + MAX_DISCARDED {
                break;
            }
        }
    }
    ProxyError::TooLarge(limit)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    impl Readable for axum::body::Body {
        fn take_whole(&mut self) -> Option<Bytes> {
            None
        }

        fn poll_into(&mut self, context: &mut Context<'_>, whole: &mut BytesMut) -> Poll<Option<Result<usize, Cut>>> {
            Pin::new(self).poll_frame(context).map(|frame| {
                let data = frame?.expect("whole").into_data().expect("no trailers");
                whole.extend_from_slice(&data);
                Some(Ok(data.len()))
            })
        }
    }

    /// Reads a body of `pieces` of `size` bytes, each `pause` after the one before; the result, and the seconds that it
    /// took.
    async fn dripping(pieces: usize, size: usize, pause: Duration) -> (Result<usize, &'static str>, u64) {
        let began = Instant::now();
        let drip = stream::unfold(0, move |sent| async move {
            if sent == pieces {
                return None;
            }
            sleep(pause).await;
            Some((Ok::<_, std::convert::Infallible>(vec![b'x'; size]), sent + 1))
        });
        let budget = Budget::new(1 << 20);
        let read = read(axum::body::Body::from_stream(drip), &Fields::default(), 1 << 20, &budget).await;
        let outcome = match read {
            Ok((body, _)) => Ok(body.len()),
            Err(ProxyError::TooSlow) => Err("slow_body"),
            Err(_) => Err("another error"),
        };
        (outcome, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_pauses_for_too_long_is_given_up() {
        assert_eq!(dripping(2, 1 << 16, Duration::from_secs(31)).await, (Err("slow_body"), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up_though_it_never_pauses_for_long() {
        assert_eq!(dripping(1000, 1, Duration::from_secs(29)).await, (Err("slow_body"), 30));
        assert_eq!(dripping(1000, 512, Duration::from_secs(1)).await, (Err("slow_body"), 59));
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_fast_is_credit_for_a_minute() {
        let began = Instant::now();
        let pieces = stream::unfold(0, |sent| async move {
            sleep(Duration::from_secs(if sent == 0 { 0 } else { 20 })).await;
            let size = if sent == 0 { 900 << 10 } else { 1 };
            Some((Ok::<_, std::convert::Infallible>(vec![b'x'; size]), sent + 1))
        });
        let budget = Budget::new(1 << 20);
        let body = axum::body::Body::from_stream(pieces);
        let read = read(body, &Fields::default(), 1 << 20, &budget).await;
        assert!(matches!(read, Err(ProxyError::TooSlow)));
        assert_eq!(began.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_over_a_slow_line_is_read_to_its_end() {
        assert_eq!(dripping(300, 1024, Duration::from_secs(1)).await, (Ok(300 << 10), 300));
        assert_eq!(dripping(5, 40 << 10, Duration::from_secs(29)).await, (Ok(200 << 10), 145));
        assert_eq!(dripping(1, 10, Duration::from_secs(29)).await, (Ok(10), 29));
    }
}

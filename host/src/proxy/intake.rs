//! Reads a request's body, bounded in size and time, before the request takes a slot of anything.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::respond::ProxyError;

/// A client that sends nothing for so long is given up.
const PAUSE: Duration = Duration::from_secs(30);
/// A whole body gets as long as a pause, and this for each KiB that has come: else a byte before each pause has passed
/// would hold a request, and what came of it, for ever.
const PER_KIB: Duration = Duration::from_secs(1);
/// How much of a body that is too large is read and thrown away, so that the client, which reads only when it has
/// written, sees the answer instead of a broken connection.
const MAX_DISCARDED: u64 = 64 << 20;
/// How long that may take.
const MAX_DISCARDING: Duration = Duration::from_secs(5);
/// How much is read of a request that is answered without its body.
const MAX_REST: usize = 64 << 10;
/// How long that may take.
const MAX_REST_TIME: Duration = Duration::from_millis(500);
/// What is set aside for a body at once on the client's word: address space, no memory until it comes. A body that
/// outgrows it is copied.
const MAX_RESERVED: u64 = 16 << 20;

/// Reads the whole body, of a request whose head came at `began`.
///
/// # Errors
///
/// [`ProxyError::TooLarge`], [`ProxyError::CutOff`] or [`ProxyError::TooSlow`].
pub async fn read(
    mut body: impl Body<Data = Bytes> + Unpin,
    headers: &HeaderMap,
    limit: usize,
    began: Instant,
) -> Result<Bytes, ProxyError> {
    let mut pace = Pace { began, received: 0 };
    let announced = announced(headers);
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(refuse(&mut body, limit, announced).await);
    }
    let Some(first) = next(&mut body, &mut pace).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(refuse(&mut body, limit, None).await);
    }
    if announced == Some(first.len() as u64) {
        return Ok(first);
    }
    let reserve = announced.unwrap_or(0).min(MAX_RESERVED) as usize;
    let mut whole = BytesMut::with_capacity(reserve.max(first.len()));
    whole.extend_from_slice(&first);
    while let Some(piece) = next(&mut body, &mut pace).await? {
        if whole.len() + piece.len() > limit {
            drop(whole);
            return Err(refuse(&mut body, limit, None).await);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// How fast a body must come.
struct Pace {
    began: Instant,
    received: u64,
}

impl Pace {
    /// When the next piece must have come.
    fn deadline(&self) -> Instant {
        if self.received == 0 {
            return self.began + PAUSE;
        }
        let kib = u32::try_from(self.received >> 10).unwrap_or(u32::MAX);
        (Instant::now() + PAUSE).min(self.began + PAUSE + PER_KIB * kib)
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
                    pace.received += data.len() as u64;
                    return Ok(Some(data));
                }
                Err(_trailers) => {}
            },
        }
    }
}

/// Reads what is left of a request that is answered without it, if it is little and there at once: then the connection
/// can go on. Whether it has come to its end.
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

/// Reads on for a while without keeping anything.
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
    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    /// A body of `pieces` of `size` bytes, each `pause` after the one before; what became of it, and after how many
    /// seconds.
    async fn dripping(pieces: usize, size: usize, pause: Duration) -> (Result<usize, &'static str>, u64) {
        let began = Instant::now();
        let drip = stream::unfold(0, move |sent| async move {
            if sent == pieces {
                return None;
            }
            sleep(pause).await;
            Some((Ok::<_, std::convert::Infallible>(vec![b'x'; size]), sent + 1))
        });
        let read = read(axum::body::Body::from_stream(drip), &HeaderMap::new(), 1 << 20, began).await;
        let outcome = match read {
            Ok(body) => Ok(body.len()),
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
    async fn a_body_over_a_slow_line_is_read_to_its_end() {
        assert_eq!(dripping(300, 1024, Duration::from_secs(1)).await, (Ok(300 << 10), 300));
        assert_eq!(dripping(5, 40 << 10, Duration::from_secs(29)).await, (Ok(200 << 10), 145));
        assert_eq!(dripping(1, 10, Duration::from_secs(29)).await, (Ok(10), 29));
    }
}

//! Reads a request's body, bounded in size and time, before the request takes a slot of anything.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::respond::ProxyError;

/// A client that sends nothing for so long is given up.
const PAUSE: Duration = Duration::from_secs(30);
/// How much of a body that is too large is read and thrown away, so that the client, which reads only when it has
/// written, sees the answer instead of a broken connection.
const MAX_DISCARDED: u64 = 64 << 20;
/// How long that may take.
const MAX_DISCARDING: Duration = Duration::from_secs(5);
/// What is set aside for a body at once on the client's word.
const MAX_RESERVED: u64 = 1 << 20;

/// Reads the whole body.
///
/// # Errors
///
/// [`ProxyError::TooLarge`], [`ProxyError::CutOff`] or [`ProxyError::TooSlow`].
pub async fn read(mut body: Body, headers: &HeaderMap, limit: usize) -> Result<Bytes, ProxyError> {
    let announced = announced(headers);
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(refuse(&mut body, limit, announced).await);
    }
    let Some(first) = next(&mut body).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(refuse(&mut body, limit, None).await);
    }
    if announced == Some(first.len() as u64) {
        return Ok(first);
    }
    let reserve = announced.unwrap_or(0).min(MAX_RESERVED) as usize;
    let mut whole = BytesMut::with_capacity(reserve.max(first.len()));
    whole.extend_from_slice(&first);
    while let Some(piece) = next(&mut body).await? {
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

/// The next piece with bytes in it.
async fn next(body: &mut Body) -> Result<Option<Bytes>, ProxyError> {
    loop {
        match timeout(PAUSE, body.frame()).await {
            Err(_elapsed) => return Err(ProxyError::TooSlow),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_cut))) => return Err(ProxyError::CutOff),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
        }
    }
}

/// Reads on for a while without keeping anything.
async fn refuse(body: &mut Body, limit: usize, announced: Option<u64>) -> ProxyError {
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

//! The frame that ends a stream which cannot go on.

use bytes::Bytes;

use super::{PROVIDER, error_json};
use crate::routing::Outcome;

/// The frame that ends a stream whose provider broke off: a blank line first, since an event may have been cut in half.
pub fn error_event(provider: &str, cause: Outcome) -> Bytes {
    let message = format!("The stream was interrupted: provider {provider} {cause}.");
    let error = error_json(&message, PROVIDER, None, "stream_interrupted");
    let mut frame = b"\n\ndata: ".to_vec();
    frame.extend_from_slice(&error);
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

//! Decodes compressed request bodies, within the same limit as for any other body.
//!
//! A few KiB can hold gigabytes, so output is counted while it comes, and the window that a frame of zstd asks for is
//! checked before it is allocated. Decoding runs on a thread of its own, since nobody knows beforehand how long it
//! takes.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header::CONTENT_ENCODING;
use ruzstd::decoding::StreamingDecoder;

use super::respond::ProxyError;
use crate::http1::fields::{Fields, text};

/// The encodings that are decoded, as a client is told.
pub const DECODED: &str = "gzip, zstd, identity";

/// The compression of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// The most bytes of output that zstd may refer back to: decoders must support this much (RFC 8878, 3.1.1.1.2).
const MAX_WINDOW: u64 = 8 << 20;
/// The beginning of each frame of zstd.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The bytes that are decoded at once.
const PIECE: usize = 64 << 10;

impl Encoding {
    /// The compression of the body of a request with these headers, if it has any.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Encoded`] for a compression that is not supported.
    pub fn of(headers: &Fields) -> Result<Option<Self>, ProxyError> {
        let mut found = None;
        for value in headers.all(CONTENT_ENCODING) {
            for name in text(value).ok_or(ProxyError::Encoded)?.split(',') {
                let encoding = match name.trim().to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "zstd" => Self::Zstd,
                    _ => return Err(ProxyError::Encoded),
                };
                // A body that is compressed twice is meant to do harm.
                if found.replace(encoding).is_some() {
                    return Err(ProxyError::Encoded);
                }
            }
        }
        Ok(found)
    }

    /// Decodes a body off the runtime's workers; `limit` is the most that it may hold.
    ///
    /// # Errors
    ///
    /// [`ProxyError::TooLarge`] or [`ProxyError::BadEncoding`].
    pub async fn decode(self, body: Bytes, limit: usize) -> Result<Bytes, ProxyError> {
        match tokio::task::spawn_blocking(move || self.decoded(&body, limit)).await {
            Ok(decoded) => decoded,
            // The task is never aborted, so this is a panic of the decoder, to be passed on.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn decoded(self, body: &[u8], limit: usize) -> Result<Bytes, ProxyError> {
        let mut whole = Vec::new();
        match self {
            Self::Gzip => fill(MultiGzDecoder::new(body), &mut whole, limit)?,
            Self::Zstd => {
                let mut rest = body;
                while !rest.is_empty() {
                    if window(rest).ok_or(ProxyError::BadEncoding)? > MAX_WINDOW.max(limit as u64) {
                        return Err(ProxyError::TooLarge(limit));
                    }
                    let before = rest.len();
                    let decoder = StreamingDecoder::new(&mut rest).map_err(|_broken| ProxyError::BadEncoding)?;
                    fill(decoder, &mut whole, limit)?;
                    if rest.len() == before {
                        return Err(ProxyError::BadEncoding);
                    }
                }
            }
        }
        Ok(whole.into())
    }
}

/// Reads a decoder to its end into `whole`, which may grow to `limit` bytes.
fn fill(mut decoder: impl Read, whole: &mut Vec<u8>, limit: usize) -> Result<(), ProxyError> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = decoder.read(&mut piece).map_err(|_broken| ProxyError::BadEncoding)?;
        if read == 0 {
            return Ok(());
        }
        if whole.len() + read > limit {
            return Err(ProxyError::TooLarge(limit));
        }
        whole.extend_from_slice(&piece[..read]);
    }
}

/// The bytes of output that a decoder must keep for the frame that begins here (RFC 8878, 3.1.1.1); `None` when no
/// frame begins here.
fn window(frame: &[u8]) -> Option<u64> {
    let descriptor = *frame.strip_prefix(&ZSTD_MAGIC)?.first()?;
    let is_single_segment = descriptor & 0x20 != 0;
    if !is_single_segment {
        let window = *frame.get(5)?;
        let base = 1_u64 << (10 + u32::from(window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // The window is the whole content, and its size follows the number of the dictionary.
    let at = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (length, offset) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
    let mut size = [0; 8];
    size[..length].copy_from_slice(frame.get(at..at + length)?);
    u64::from_le_bytes(size).checked_add(offset)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const TEXT: &[u8] = br#"{"model":"m","messages":[]}"#;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn decoded(encoding: Encoding, body: &[u8], limit: usize) -> Result<Vec<u8>, &'static str> {
        match encoding.decoded(body, limit) {
            Ok(body) => Ok(body.to_vec()),
            Err(ProxyError::TooLarge(_)) => Err("too large"),
            Err(_) => Err("broken"),
        }
    }

    #[test]
    fn what_was_compressed_is_read_as_it_was() {
        for (encoding, body) in [(Encoding::Gzip, gzip(TEXT)), (Encoding::Zstd, zstd(TEXT))] {
            assert_eq!(decoded(encoding, &body, 1000), Ok(TEXT.to_vec()), "{encoding:?}");
            let twice = [body.clone(), body.clone()].concat();
            assert_eq!(decoded(encoding, &twice, 1000), Ok([TEXT, TEXT].concat()), "{encoding:?}");
            assert_eq!(decoded(encoding, &body, TEXT.len()), Ok(TEXT.to_vec()), "{encoding:?}");
            assert_eq!(decoded(encoding, &body, TEXT.len() - 1), Err("too large"), "{encoding:?}");
            for cut in 1..body.len() {
                let cut = decoded(encoding, &body[..cut], 1000);
                assert!(cut.as_deref() == Err(&"broken") || cut.as_deref() == Ok(TEXT), "{encoding:?}: {cut:?}");
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_has_gone_off() {
        let zeros = vec![0; 20 << 20];
        for (encoding, body) in [(Encoding::Gzip, gzip(&zeros)), (Encoding::Zstd, zstd(&zeros))] {
            assert!(body.len() < 1 << 20);
            assert_eq!(decoded(encoding, &body, 1 << 20), Err("too large"), "{encoding:?}");
        }
        // A frame that asks for 1 TiB.
        let huge = [&ZSTD_MAGIC[..], &[0, 0xf0, 1, 0, 0]].concat();
        assert_eq!(window(&huge), Some(1 << 40));
        assert_eq!(decoded(Encoding::Zstd, &huge, 1 << 20), Err("too large"));
        let single = [&ZSTD_MAGIC[..], &[0xe0], &u64::MAX.to_le_bytes()].concat();
        assert_eq!(decoded(Encoding::Zstd, &single, 1 << 20), Err("too large"));
    }

    #[test]
    fn nonsense_is_broken() {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            for nonsense in [&b"{}"[..], b"\x28\xb5\x2f\xfd", &[0xff; 100]] {
                assert_eq!(decoded(encoding, nonsense, 1000), Err("broken"), "{encoding:?}");
            }
        }
    }

    #[test]
    fn the_header_names_one_encoding_that_is_read_or_none() {
        let of = |value| Encoding::of(&Fields::from_iter([("content-encoding", value)])).map_err(|_| "refused");
        assert_eq!(of("identity"), Ok(None));
        assert_eq!(of("GZIP"), Ok(Some(Encoding::Gzip)));
        assert_eq!(of("identity, zstd"), Ok(Some(Encoding::Zstd)));
        for refused in ["br", "deflate", "gzip, gzip", "compress"] {
            assert_eq!(of(refused), Err("refused"), "{refused}");
        }
    }
}

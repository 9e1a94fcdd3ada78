//! HTTP/1.1 on the wire (RFC 9112), the same for clients and providers: pure functions from bytes to heads and bodies.
//!
//! Heads are read once, where they lie in the receive buffer, and the fields stay there: places in its bytes. The way in which
//! a body ends is judged in one place ([`framing`]) for both directions, and strictly: whatever two readers might take for
//! different lengths is refused, since a proxy that reads it differently from the server behind it lets one client's
//! bytes become another client's request.

pub mod chunks;
pub mod fields;
pub mod framing;
pub mod request;
pub mod response;
pub mod rest;
pub mod write;

/// The most fields that a head may have. Gateways and content delivery networks add to what the server behind them says.
pub const MAX_FIELDS: usize = 256;

#[cfg(test)]
mod compare;
#[cfg(test)]
mod tests;

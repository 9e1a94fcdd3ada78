//! The host of a listener: what an operator may write, and what a socket is bound to.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The host to bind: `text` itself, or an IPv6 address without its brackets.
///
/// # Errors
/// A message that follows the key and, if one is known, the remedy.
pub fn listening_host(text: &str) -> Result<&str, (&'static str, Option<&'static str>)> {
    let is_v6 = |text: &str| text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    // A socket in the file system is no host, and its path may be anything.
    if text.starts_with("unix:") || is_v6(text) {
        return Ok(text);
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let help = Some("only IPv6 addresses have brackets, such as [::1]");
        return if is_v6(inner) { Ok(inner) } else { Err(("must be a host name or address", help)) };
    }
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(("must be a host name or address", Some("such as 127.0.0.1")));
    }
    if text == "*" {
        let help = "0.0.0.0 is every IPv4 address of this machine, `::` every IPv6 address as well";
        return Err(("must be a host name or address", Some(help)));
    }
    if text.contains('/') {
        return Err(("must be a host name or address, not a URL", Some("leave out the scheme and the path")));
    }
    if text.contains(':') {
        return Err(("must be a host name or address without a port", Some("the port goes under `port`")));
    }
    let looks_like_v4 = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if looks_like_v4 && text.parse::<Ipv4Addr>().is_err() {
        return Err(("must be a host name or address", Some("an IPv4 address has four numbers from 0 to 255")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_taken_brackets_too() {
        for (text, host) in [
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "localhost"),
            ("::", "::"),
            ("[::1]", "::1"),
            ("[fe80::1%eth0]", "fe80::1%eth0"),
            ("unix:/run/p.sock", "unix:/run/p.sock"),
        ] {
            assert_eq!(listening_host(text), Ok(host));
        }
    }

    #[test]
    fn what_cannot_be_bound_is_told_with_a_remedy() {
        for text in [
            "",
            "a b",
            "*",
            "localhost:8000",
            "0.0.0.0:80",
            "[::1]:8000",
            "http://127.0.0.1",
            "256.0.0.1",
            "[a]",
            "1.2.3",
        ] {
            assert!(listening_host(text).is_err_and(|(_, help)| help.is_some()), "{text}");
        }
    }
}

//! Warns when others can reach a listener and no key keeps them out.

use std::net::SocketAddr;

use super::socket::Address;

/// One of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The one for clients, `server`.
    Clients,
    /// The one for operators, `server.admin`.
    Operators,
}

/// Warns when other machines can reach `address` and no key is required.
///
/// Warns when nothing keeps others out. A Unix socket is exempt, because its permissions control the access.
pub fn warn_if_open(door: Door, address: &Address, has_keys: bool) {
    let Address::Tcp(address) = *address else { return };
    if let Some(warning) = warning(door, address, has_keys) {
        tracing::warn!(%address, "{warning}");
    }
}

fn warning(door: Door, address: SocketAddr, has_keys: bool) -> Option<String> {
    if has_keys || address.ip().to_canonical().is_loopback() {
        return None;
    }
    let (consequence, key, host) = match door {
        Door::Clients => {
            let consequence = "send requests through this proxy at the expense of your providers' keys";
            (consequence, "clients.keys or server.api_keys", "server")
        }
        Door::Operators => ("read this proxy's metrics and operate it", "server.admin.api_key", "server.admin"),
    };
    let scope = if address.ip().is_unspecified() { ", on every network of this machine," } else { "" };
    Some(format!(
        "ANYONE WHO CAN REACH {address}{scope} CAN {consequence}: no key is required. Set {key}, or {host}.host to \
         127.0.0.1 when only this machine needs it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(door: Door, address: &str, has_keys: bool) -> String {
        warning(door, address.parse().unwrap(), has_keys).unwrap_or_default()
    }

    #[test]
    fn an_open_public_address_is_warned_of_with_what_to_do() {
        for address in ["0.0.0.0:8000", "[::]:8000", "192.168.1.7:8000", "[2001:db8::1]:8000"] {
            let text = of(Door::Clients, address, false);
            assert!(text.contains(address) && text.contains("server.api_keys"), "{text}");
        }
        let text = of(Door::Operators, "10.0.0.1:9090", false);
        assert!(text.contains("server.admin.api_key") && text.contains("server.admin.host"), "{text}");
    }

    #[test]
    fn a_key_or_a_loopback_address_is_not_warned_of() {
        for address in ["127.0.0.1:8000", "127.8.8.8:1", "[::1]:8000", "[::ffff:127.0.0.1]:8000"] {
            assert_eq!(of(Door::Clients, address, false), "");
        }
        assert_eq!(of(Door::Clients, "0.0.0.0:8000", true), "");
    }
}

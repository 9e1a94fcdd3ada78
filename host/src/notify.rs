//! Messages to the service manager: systemd's protocol for services of `Type=notify` (sd_notify(3)).
//!
//! A message is a datagram of lines `KEY=value` to the socket that `NOTIFY_SOCKET` names. Without such a socket nothing
//! is sent. If the socket does not accept a message, the message is lost, because no request must wait for it.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;

/// Sends messages to the service manager, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Notifier(Option<Arc<(UnixDatagram, SocketAddr)>>);

impl Notifier {
    /// A notifier for `socket`, the value of `NOTIFY_SOCKET`: a path, or `@` and a name of the abstract namespace.
    pub fn to(socket: Option<&str>) -> Self {
        let Some(name) = socket.filter(|name| !name.is_empty()) else { return Self::default() };
        match Self::connect(name) {
            Ok(connected) => Self(Some(Arc::new(connected))),
            Err(error) => {
                tracing::warn!(%error, "the service manager gets no messages, because NOTIFY_SOCKET cannot be used: {error}");
                Self::default()
            }
        }
    }

    fn connect(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
        let address = match name.strip_prefix('@') {
            Some(name) => abstract_address(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok((socket, address))
    }

    /// Reports that requests are served; `status` is for `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// Reports that a reload has begun. Every reload, successful or not, ends with [`Notifier::ready`].
    pub fn reloading(&self) {
        let since = monotonic_micros().map_or_else(String::new, |micros| format!("MONOTONIC_USEC={micros}\n"));
        self.send(&format!("RELOADING=1\n{since}STATUS=reloading the configuration"));
    }

    /// Reports that the server is ending.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=draining");
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = self.0.as_deref() {
            // A failure here does not affect the server, so it is only logged.
            if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
                tracing::debug!(%error, "the service manager did not accept a message: {error}");
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &str) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has abstract sockets"))
}

/// The kernel's monotonic clock, which no safe function of the standard library reads: the time since the machine was
/// started, in steps of 10 ms, rounded up. If a reload seemed to begin before it was requested, the service manager
/// would take it for another one.
fn monotonic_micros() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let (seconds, hundredths): (u64, u64) = (seconds.parse().ok()?, hundredths.parse().ok()?);
    Some(seconds * 1_000_000 + (hundredths + 1) * 10_000)
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn each_message_is_a_datagram_to_a_path_or_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("pointsman-test-{}", std::process::id());
        let mut sockets = vec![(UnixDatagram::bind(&path).unwrap(), path.display().to_string())];
        if cfg!(target_os = "linux") {
            let bound = UnixDatagram::bind_addr(&abstract_address(&name).unwrap()).unwrap();
            sockets.push((bound, format!("@{name}")));
        }
        for (socket, name) in sockets {
            let notifier = Notifier::to(Some(&name));
            notifier.ready("listening\non x");
            assert_eq!(received(&socket), "READY=1\nSTATUS=listening on x");
            notifier.reloading();
            let reloading = received(&socket);
            let micros = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
            let is_number = |micros: &str| micros.parse::<u64>().is_ok();
            assert!(reloading.starts_with("RELOADING=1\n"), "{reloading}");
            assert!(micros.is_some_and(is_number) || !cfg!(target_os = "linux"), "{reloading}");
            notifier.stopping();
            assert!(received(&socket).starts_with("STOPPING=1\n"));
        }
    }

    #[test]
    fn without_a_socket_nothing_happens() {
        for name in [None, Some(""), Some("/no/such/socket")] {
            Notifier::to(name).ready("listening");
        }
    }
}

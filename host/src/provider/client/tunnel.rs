//! A tunnel through a forward proxy: `CONNECT` (RFC 9110, 9.3.6), and what it answers.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::config::ForwardProxy;

/// A longer answer to `CONNECT` is none.
const MOST: usize = 16 << 10;

/// The reason why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The forward proxy said no.
    #[error("the forward proxy answered {0} to CONNECT")]
    Refused(u16),
    /// It said nothing that could be understood.
    #[error("the forward proxy does not speak HTTP")]
    Malformed,
    /// The connection to it broke.
    #[error("the connection to the forward proxy broke")]
    Broken(#[from] io::Error),
}

/// Asks the forward proxy at the other end of `stream` for a tunnel to `target`, a host and a port. Then what goes over
/// `stream` reaches that.
///
/// # Errors
///
/// [`TunnelError`].
pub async fn open(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &str,
    proxy: &ForwardProxy,
) -> Result<(), TunnelError> {
    let authorization = proxy.authorization.as_ref();
    let authorization =
        authorization.map(|value| format!("Proxy-Authorization: {}\r\n", value.reveal())).unwrap_or_default();
    let asked = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
    stream.write_all(asked.as_bytes()).await?;
    let mut answer = Vec::with_capacity(1 << 10);
    // TLS begins with what the client says, so nothing but the answer can come.
    while !answer.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(TunnelError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let refused = status(&answer).filter(|status| !(200..300).contains(status));
        if let Some(status) = refused {
            // Whatever follows is for people.
            return Err(TunnelError::Refused(status));
        }
        if answer.len() > MOST {
            return Err(TunnelError::Malformed);
        }
    }
    status(&answer).map(|_well| ()).ok_or(TunnelError::Malformed)
}

/// The status of an answer whose first line is whole.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next().filter(|line| line.len() < answer.len())?;
    let line = str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    /// Opens a tunnel through a forward proxy that gives `answer`; the result, and what it was asked.
    async fn through(answer: &str) -> (Result<(), TunnelError>, String) {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        let host = url::Host::parse("proxy").expect("a host");
        let authorization = Some(Secret::new("Basic dTpw"));
        let proxy = ForwardProxy { host, port: 3128, authorization };
        theirs.write_all(answer.as_bytes()).await.expect("room");
        theirs.shutdown().await.expect("open");
        let opened = open(&mut ours, "api.example:443", &proxy).await;
        drop(ours);
        let mut asked = String::new();
        theirs.read_to_string(&mut asked).await.expect("text");
        (opened, asked)
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_with_the_credentials_and_opens_with_a_2xx() {
        let (opened, asked) = through("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await;
        assert!(opened.is_ok());
        let text =
            "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n";
        assert_eq!(asked, text);
    }

    #[tokio::test]
    async fn anything_else_is_told_apart() {
        let refused = |opened| matches!(opened, Err(TunnelError::Refused(407)));
        assert!(refused(through("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.0));
        assert!(refused(through("HTTP/1.0 407\r\nunended").await.0));
        assert!(matches!(through("HTTP/1.1 200 OK\r\n").await.0, Err(TunnelError::Broken(_))));
        assert!(matches!(through("SSH-2.0-x\r\n\r\n").await.0, Err(TunnelError::Malformed)));
    }
}

//! `pointsman probe`: asks a running server whether it is ready, for health checks of containers that have no curl.
//!
//! The exit code is always 0 or 1, because Docker reserves 2. The server's certificate is not verified, because nothing
//! secret is sent or received, and it need not name the address that is asked.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{load, say, say_error};
use crate::config::Config;

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Probe {
    /// The URL to ask; without a path it is /ready [default: the listener of the configuration].
    #[arg(long)]
    url: Option<String>,
    /// The configuration whose listener to ask [default: as for `serve`].
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<std::path::PathBuf>,
    /// Seconds to wait for the answer.
    #[arg(long, default_value_t = 5.0)]
    timeout: f64,
}

pub(super) fn run(probe: &Probe) -> ExitCode {
    match ask(probe) {
        Ok(status) => {
            say(&status);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say_error(&format!("pointsman probe: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn ask(probe: &Probe) -> anyhow::Result<String> {
    let url = match &probe.url {
        Some(url) => url.clone(),
        None => url_of(&configuration(probe.config.as_deref())?),
    };
    let limit = Duration::try_from_secs_f64(probe.timeout).unwrap_or(Duration::from_secs(5));
    let uri = target(&url)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async { tokio::time::timeout(limit, get(&uri)).await });
    // A name resolution that is still running must not delay the exit.
    runtime.shutdown_background();
    let answer = answer.map_err(|_elapsed| anyhow::anyhow!("{uri} did not answer within {} s", limit.as_secs_f64()))?;
    let status = answer.with_context(|| format!("{uri} does not answer"))?;
    if status.is_success() { Ok(format!("{uri}: {status}")) } else { anyhow::bail!("{uri} answered {status}") }
}

fn configuration(file: Option<&Path>) -> anyhow::Result<Config> {
    load(file).map_err(|problems| anyhow::anyhow!("{problems}\nor name the server with --url"))
}

/// The address at which this machine can reach the listener of a configuration.
fn url_of(config: &Config) -> String {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let host = &config.server.host;
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => "[::1]".to_owned(),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => host.clone(),
    };
    format!("{scheme}://{host}:{}", config.server.port)
}

fn target(url: &str) -> anyhow::Result<Uri> {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = url.parse().map_err(|error| anyhow::anyhow!("{url} is not a URL: {error}"))?;
    anyhow::ensure!(matches!(uri.scheme_str(), Some("http" | "https")), "{url} must begin with http:// or https://");
    if uri.path().trim_matches('/').is_empty() {
        let mut parts = uri.into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/ready"));
        return Ok(Uri::from_parts(parts)?);
    }
    Ok(uri)
}

async fn get(uri: &Uri) -> anyhow::Result<StatusCode> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await?;
    if !secure {
        return exchange(stream, uri).await;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await?;
    exchange(stream, uri).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uri: &Uri,
) -> anyhow::Result<StatusCode> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = Request::get(path)
        .header(http::header::HOST, authority)
        .header(http::header::USER_AGENT, concat!("pointsman-probe/", env!("CARGO_PKG_VERSION")))
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        // Read to its end, so that the server does not log a client that left.
        let _ = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        anyhow::Ok(status)
    };
    tokio::pin!(connection, answered);
    let mut ended = false;
    loop {
        tokio::select! {
            biased;
            status = &mut answered => return status,
            end = &mut connection, if !ended => {
                end?;
                ended = true;
            }
        }
    }
}

/// Accepts any certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_asks_whether_the_server_is_ready() {
        for (url, asked) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/ready"),
            ("127.0.0.1:8000/", "http://127.0.0.1:8000/ready"),
            ("https://[::1]:8443/health", "https://[::1]:8443/health"),
        ] {
            assert_eq!(target(url).unwrap().to_string(), asked);
        }
        assert!(target("ftp://a").is_err());
    }
}

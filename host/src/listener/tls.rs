//! Loads the listener's certificate and key from two PEM files.
//!
//! The result goes into [`super::Settings`]. It applies to later handshakes; existing connections are not affected.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::certificates::{CertificateError, identity};
use crate::config::TlsFiles;

/// The name of HTTP/2 in ALPN (RFC 9113, 3.1).
pub(super) const HTTP2: &[u8] = b"h2";

/// Reads a certificate and its key, and offers HTTP/2 if `http2`. Blocks on the file system.
///
/// # Errors
///
/// [`CertificateError`], for the first mistake.
pub fn load(files: &TlsFiles, http2: bool) -> Result<Arc<ServerConfig>, CertificateError> {
    let (chain, key) = identity(&files.cert, &files.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let refused = |source| CertificateError::CertRefused { path: files.cert.clone(), source };
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(refused)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(refused)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    if !http2 {
        config.alpn_protocols.remove(0);
    }
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::proxy::respond::chain as whole_text;

    /// A certificate and its key as PEM.
    fn issue() -> (String, String) {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (issued.cert.pem(), issued.signing_key.serialize_pem())
    }

    /// The error for these two texts, without the folder's name; empty when there is none.
    fn wrong(cert: &[u8], key: &[u8]) -> String {
        let folder = TempDir::new().unwrap();
        let at = |name| folder.path().join(name);
        std::fs::write(at("cert.pem"), cert).unwrap();
        std::fs::write(at("key.pem"), key).unwrap();
        let Err(error) = load(&TlsFiles { cert: at("cert.pem"), key: at("key.pem"), line: 1 }, true) else {
            return String::new();
        };
        let text = format!("server.tls.{}: {}", error.part(), whole_text(&error));
        text.replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn a_certificate_with_its_key_loads_whatever_else_the_files_hold() {
        let (cert, key) = issue();
        assert_eq!(wrong(cert.as_bytes(), key.as_bytes()), "");
        let both = format!("subject=localhost\n{cert}{key}");
        assert_eq!(wrong(both.as_bytes(), both.as_bytes()), "");
        let chain = format!("{cert}{}", issue().0);
        assert_eq!(wrong(chain.as_bytes(), key.as_bytes()), "");
    }

    #[test]
    fn each_fault_is_named_with_the_file_and_the_key_to_blame() {
        let (cert, key) = issue();
        let (cert, key) = (cert.as_bytes(), key.as_bytes());
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let empty_key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let empty_cert = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let unended = b"-----BEGIN CERTIFICATE-----\nAAAA\n";
        let garbled = b"-----BEGIN PRIVATE KEY-----\n!secret!\n-----END PRIVATE KEY-----\n";
        for (cert, key, text) in [
            (&b""[..], key, "server.tls.cert: cert.pem holds no certificate"),
            (key, key, "server.tls.cert: cert.pem holds no certificate"),
            (b"\xff\xfe\x00", key, "server.tls.cert: cert.pem holds no certificate"),
            (cert, b"", "server.tls.key: key.pem holds no private key"),
            (cert, cert, "server.tls.key: key.pem holds no private key"),
            (cert, encrypted, "server.tls.key: key.pem holds an encrypted private key"),
            (cert, empty_key, "server.tls.key: key.pem holds a private key that cannot be used"),
            (cert, garbled, "server.tls.key: key.pem is not valid PEM"),
            (cert, issue().1.as_bytes(), "server.tls.key: key.pem does not match the certificate in cert.pem"),
        ] {
            assert_eq!(wrong(cert, key), text);
        }
        let refused = wrong(empty_cert, key);
        assert!(
            refused.starts_with("server.tls.cert: cert.pem holds a certificate that cannot be used: "),
            "{refused}"
        );
        let garbled = wrong(unended, key);
        assert!(garbled.starts_with("server.tls.cert: cert.pem is not valid PEM: "), "{garbled}");
    }

    #[test]
    fn a_file_that_is_not_there_or_too_large_is_unreadable() {
        let files = TlsFiles { cert: "no/cert.pem".into(), key: "no/key.pem".into(), line: 1 };
        let missing = whole_text(&load(&files, true).unwrap_err());
        assert!(missing.starts_with("no/cert.pem cannot be read: No such file"), "{missing}");
        let large = wrong(&vec![b'x'; 2 << 20], b"");
        assert_eq!(large, "server.tls.cert: cert.pem cannot be read: the file is larger than 1 MiB");
    }
}

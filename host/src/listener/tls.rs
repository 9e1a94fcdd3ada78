//! The listener's certificate: from two PEM files to what a handshake needs.
//!
//! Whoever loads it puts it into [`super::Settings`]; the handshakes that follow use it, and connections that stand are
//! not touched.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsFiles;

/// A file beyond this holds no certificate.
const MAX_FILE: u64 = 1 << 20;

/// A certificate that cannot be used. No text holds anything of the key.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum TlsError {
    #[error("{path} cannot be read")]
    CertUnreadable { path: PathBuf, source: io::Error },
    #[error("{path} is not sound PEM")]
    CertGarbled { path: PathBuf, source: pem::Error },
    #[error("{path} holds no certificate")]
    NoCertificate { path: PathBuf },
    #[error("{path} holds a certificate that cannot be used")]
    CertRefused { path: PathBuf, source: rustls::Error },
    #[error("{path} cannot be read")]
    KeyUnreadable { path: PathBuf, source: io::Error },
    #[error("{path} is not sound PEM")]
    KeyGarbled { path: PathBuf },
    #[error("{path} holds no private key")]
    NoKey { path: PathBuf },
    #[error("{path} holds an encrypted private key")]
    KeyEncrypted { path: PathBuf },
    #[error("{path} holds a private key that cannot be used")]
    KeyRefused { path: PathBuf },
    #[error("{key} does not match the certificate in {cert}")]
    Mismatch { cert: PathBuf, key: PathBuf },
}

impl TlsError {
    /// The key of the configuration that is to blame.
    pub fn key(&self) -> &'static str {
        match self {
            Self::CertUnreadable { .. }
            | Self::CertGarbled { .. }
            | Self::NoCertificate { .. }
            | Self::CertRefused { .. } => "server.tls.cert",
            Self::KeyUnreadable { .. }
            | Self::KeyGarbled { .. }
            | Self::NoKey { .. }
            | Self::KeyEncrypted { .. }
            | Self::KeyRefused { .. }
            | Self::Mismatch { .. } => "server.tls.key",
        }
    }

    /// What would be right.
    pub fn help(&self) -> &'static str {
        match self {
            Self::CertUnreadable { .. } | Self::KeyUnreadable { .. } => {
                "the file must be readable for the user that the proxy runs as, and at most 1 MiB"
            }
            Self::CertGarbled { .. } | Self::NoCertificate { .. } => {
                "a PEM file with the server's certificate first (BEGIN CERTIFICATE), then those of its issuers"
            }
            Self::CertRefused { .. } => "an X.509 certificate, version 3, in PEM",
            Self::KeyGarbled { .. } | Self::NoKey { .. } => {
                "a PEM file with the certificate's private key (BEGIN PRIVATE KEY)"
            }
            Self::KeyEncrypted { .. } => "a key without a passphrase: `openssl pkey -in OLD -out NEW`",
            Self::KeyRefused { .. } => "an RSA key of 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519",
            Self::Mismatch { .. } => "the key with which the first certificate of the chain was requested",
        }
    }
}

/// Reads a certificate and its key. Blocks on the file system.
///
/// # Errors
///
/// [`TlsError`], for the first thing that is wrong.
pub fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, key) = (chain(&files.cert)?, private_key(&files.key)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    if provider.key_provider.load_private_key(key.clone_key()).is_err() {
        return Err(TlsError::KeyRefused { path: files.key.clone() });
    }
    let refused = |source| TlsError::CertRefused { path: files.cert.clone(), source };
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(refused)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() },
        error => refused(error),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path).map_err(|source| TlsError::CertUnreadable { path: path.to_owned(), source })?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(TlsError::NoCertificate { path: path.to_owned() }),
        Ok(chain) => Ok(chain),
        Err(source) => Err(TlsError::CertGarbled { path: path.to_owned(), source }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let path_of = || path.to_owned();
    let text = read(path).map_err(|source| TlsError::KeyUnreadable { path: path_of(), source })?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if memchr::memmem::find(&text, b"BEGIN ENCRYPTED PRIVATE KEY").is_some() => {
            Err(TlsError::KeyEncrypted { path: path_of() })
        }
        Err(pem::Error::NoItemsFound) => Err(TlsError::NoKey { path: path_of() }),
        // The cause is not kept: it may quote the file.
        Err(_) => Err(TlsError::KeyGarbled { path: path_of() }),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than 1 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::proxy::respond::chain as whole_text;

    /// Certificate and key as PEM.
    fn issue() -> (String, String) {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (issued.cert.pem(), issued.signing_key.serialize_pem())
    }

    /// What is wrong with these two texts, without the folder's name; empty when nothing is.
    fn wrong(cert: &[u8], key: &[u8]) -> String {
        let folder = TempDir::new().unwrap();
        let at = |name| folder.path().join(name);
        std::fs::write(at("cert.pem"), cert).unwrap();
        std::fs::write(at("key.pem"), key).unwrap();
        let Err(error) = load(&TlsFiles { cert: at("cert.pem"), key: at("key.pem"), line: 1 }) else {
            return String::new();
        };
        let text = format!("{}: {}", error.key(), whole_text(&error));
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
            (cert, garbled, "server.tls.key: key.pem is not sound PEM"),
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
        assert!(garbled.starts_with("server.tls.cert: cert.pem is not sound PEM: "), "{garbled}");
    }

    #[test]
    fn a_file_that_is_not_there_or_too_large_is_unreadable() {
        let files = TlsFiles { cert: "no/cert.pem".into(), key: "no/key.pem".into(), line: 1 };
        let missing = whole_text(&load(&files).unwrap_err());
        assert!(missing.starts_with("no/cert.pem cannot be read: No such file"), "{missing}");
        let large = wrong(&vec![b'x'; 2 << 20], b"");
        assert_eq!(large, "server.tls.cert: cert.pem cannot be read: the file is larger than 1 MiB");
    }
}

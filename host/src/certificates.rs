//! Reads certificates and keys from PEM files, for the listener and for the connections to providers.
//!
//! No error text contains any part of a key.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A certificate or a key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum CertificateError {
    #[error("{path} cannot be read")]
    CertUnreadable { path: PathBuf, source: io::Error },
    #[error("{path} is not valid PEM")]
    CertGarbled { path: PathBuf, source: pem::Error },
    #[error("{path} holds no certificate")]
    NoCertificate { path: PathBuf },
    #[error("{path} holds a certificate that cannot be used")]
    CertRefused { path: PathBuf, source: rustls::Error },
    #[error("{path} cannot be read")]
    KeyUnreadable { path: PathBuf, source: io::Error },
    #[error("{path} is not valid PEM")]
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

impl CertificateError {
    /// The key of the configuration that names the bad file, within its section: `cert` or `key`.
    pub fn part(&self) -> &'static str {
        match self {
            Self::CertUnreadable { .. }
            | Self::CertGarbled { .. }
            | Self::NoCertificate { .. }
            | Self::CertRefused { .. } => "cert",
            Self::KeyUnreadable { .. }
            | Self::KeyGarbled { .. }
            | Self::NoKey { .. }
            | Self::KeyEncrypted { .. }
            | Self::KeyRefused { .. }
            | Self::Mismatch { .. } => "key",
        }
    }

    /// The remedy for the operator.
    pub fn help(&self) -> &'static str {
        match self {
            Self::CertUnreadable { .. } | Self::KeyUnreadable { .. } => {
                "the user that runs the proxy must be able to read the file, which may have at most 1 MiB"
            }
            Self::CertGarbled { .. } | Self::NoCertificate { .. } => {
                "use a PEM file with the server's certificate first (BEGIN CERTIFICATE), then those of its issuers"
            }
            Self::CertRefused { .. } => "an X.509 certificate, version 3, in PEM",
            Self::KeyGarbled { .. } | Self::NoKey { .. } => {
                "use a PEM file with the certificate's private key (BEGIN PRIVATE KEY)"
            }
            Self::KeyEncrypted { .. } => "remove the passphrase: `openssl pkey -in OLD -out NEW`",
            Self::KeyRefused { .. } => "use an RSA key of 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519",
            Self::Mismatch { .. } => "use the key with which the first certificate of the chain was requested",
        }
    }
}

/// The certificates of a file; at least one. Blocks on the file system.
///
/// # Errors
///
/// [`CertificateError`], for the first mistake.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let text = read(path).map_err(|source| CertificateError::CertUnreadable { path: path.to_owned(), source })?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(CertificateError::NoCertificate { path: path.to_owned() }),
        Ok(certificates) => Ok(certificates),
        Err(source) => Err(CertificateError::CertGarbled { path: path.to_owned(), source }),
    }
}

/// The chain in `cert` and the private key in `key`, which belong together. Blocks on the file system.
///
/// # Errors
///
/// [`CertificateError`], for the first mistake.
pub fn identity(
    cert: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CertificateError> {
    let (chain, private) = (certificates(cert)?, private_key(key)?);
    let provider = rustls::crypto::ring::default_provider();
    let Ok(signing) = provider.key_provider.load_private_key(private.clone_key()) else {
        return Err(CertificateError::KeyRefused { path: key.to_owned() });
    };
    match CertifiedKey::new(chain.clone(), signing).keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(CertificateError::Mismatch { cert: cert.to_owned(), key: key.to_owned() })
        }
        // Some kinds of keys cannot be compared with the certificate; they are accepted, as rustls does.
        Err(rustls::Error::InconsistentKeys(_)) | Ok(()) => Ok((chain, private)),
        Err(source) => Err(CertificateError::CertRefused { path: cert.to_owned(), source }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let path_of = || path.to_owned();
    let text = read(path).map_err(|source| CertificateError::KeyUnreadable { path: path_of(), source })?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if memchr::memmem::find(&text, b"BEGIN ENCRYPTED PRIVATE KEY").is_some() => {
            Err(CertificateError::KeyEncrypted { path: path_of() })
        }
        Err(pem::Error::NoItemsFound) => Err(CertificateError::NoKey { path: path_of() }),
        // The cause is dropped, because it may quote the file.
        Err(_) => Err(CertificateError::KeyGarbled { path: path_of() }),
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

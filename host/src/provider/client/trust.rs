//! The client's side of TLS: the certificates that we trust, and our own.
//!
//! Set up when the first provider needs it, so that a machine without certificates can serve those that need none; and
//! read again with each reload, for the handshakes that follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError as Wrong, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::certificates::{CertificateError, certificates, identity};
use crate::config::ProviderTls;
use crate::routing::TlsFault;

/// TLS as one or several providers want it.
#[derive(Debug)]
pub struct Trust {
    wanted: ProviderTls,
    current: ArcSwap<Current>,
    /// The generation in which it was last read.
    round: AtomicU64,
}

/// The TLS settings that handshakes use now.
#[derive(Debug)]
enum Current {
    Ready(Arc<ClientConfig>),
    Unusable(Arc<TrustError>),
}

/// TLS that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The system's certificates.
    #[error("the system's certificates cannot be used")]
    System(#[source] Error),
    /// The certificates in `ca`.
    #[error(transparent)]
    Ca(CertificateError),
    /// No verifier can be made of `ca`.
    #[error("the certificates cannot be used")]
    Verifier(#[source] VerifierBuilderError),
    /// Our own certificate and its key.
    #[error(transparent)]
    Identity(CertificateError),
    /// The TLS library refuses the client certificate.
    #[error("the client certificate cannot be used")]
    Client(#[source] Error),
}

impl TrustError {
    /// The key below `tls` that is to blame.
    pub fn part(&self) -> &'static str {
        match self {
            Self::System(_) | Self::Ca(_) | Self::Verifier(_) => "ca",
            Self::Identity(error) => error.part(),
            Self::Client(_) => "cert",
        }
    }

    /// A remedy: what the operator should do instead.
    pub fn help(&self) -> &'static str {
        match self {
            Self::System(_) => "install the system's CA certificates, or name a file with `SSL_CERT_FILE` or `tls.ca`",
            Self::Ca(_) | Self::Verifier(_) => {
                "a PEM file with the certificates (BEGIN CERTIFICATE) of those whom to trust: a CA's, or the server's own"
            }
            Self::Identity(error) => error.help(),
            Self::Client(_) => "a chain and a key in PEM, as the provider issued them",
        }
    }
}

impl Trust {
    /// Reads the settings and their files, in the generation `round`.
    pub fn new(wanted: ProviderTls, round: u64) -> Self {
        let current = ArcSwap::from_pointee(Current::of(&wanted));
        Self { wanted, current, round: AtomicU64::new(round) }
    }

    /// Reads the files again, once in each generation. If they cannot be read any more, those read before stay in
    /// force.
    pub fn refresh(&self, round: u64) {
        if self.round.swap(round, Relaxed) == round {
            return;
        }
        match Current::of(&self.wanted) {
            Current::Unusable(error) if matches!(&**self.current.load(), Current::Ready(_)) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    "certificates for providers cannot be read again: those read before stay in force"
                );
            }
            read => self.current.store(Arc::new(read)),
        }
    }

    /// The settings of the next handshake.
    ///
    /// # Errors
    ///
    /// The reason why there can be none.
    pub fn config(&self) -> Result<Arc<ClientConfig>, Arc<TrustError>> {
        match &**self.current.load() {
            Current::Ready(config) => Ok(Arc::clone(config)),
            Current::Unusable(error) => Err(Arc::clone(error)),
        }
    }

    /// The name that the other side must have a certificate for, if not that of the URL.
    pub fn server_name(&self) -> Option<&str> {
        self.wanted.server_name.as_deref()
    }
}

impl Current {
    fn of(wanted: &ProviderTls) -> Self {
        match load(wanted) {
            Ok(config) => Self::Ready(Arc::new(config)),
            Err(error) => Self::Unusable(Arc::new(error)),
        }
    }
}

/// Reads the files of a provider's `tls`, and the system's certificates where it names none. Blocks on the file system.
///
/// # Errors
///
/// [`TrustError`], for the first thing that is wrong.
pub fn load(wanted: &ProviderTls) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TrustError::System)?;
    let builder = match &wanted.ca {
        None => builder.with_platform_verifier().map_err(TrustError::System)?,
        Some(path) => {
            let trusted = certificates(path).map_err(TrustError::Ca)?;
            let verifier = Own::new(trusted, provider, path)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let mut config = match (&wanted.cert, &wanted.key) {
        (Some(cert), Some(key)) => {
            let (chain, key) = identity(cert, key).map_err(TrustError::Identity)?;
            builder.with_client_auth_cert(chain, key).map_err(TrustError::Client)?
        }
        (_, _) => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The settings of one that trusts nobody, for a client that is to speak no TLS; no file is read.
///
/// # Errors
///
/// [`TrustError::System`], if the library has no version of TLS.
pub fn of_nobody() -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(TrustError::System)?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Trusts the certificates of a file: as issuers, and each as a server's own.
///
/// WebPKI takes no issuer for a server, and a self-signed certificate, as `openssl req -x509` makes it, is its own
/// issuer. An operator who names one means that very server.
#[derive(Debug)]
struct Own {
    issuers: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Own {
    fn new(
        trusted: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
        path: &std::path::Path,
    ) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in &trusted {
            let refused = |source| TrustError::Ca(CertificateError::CertRefused { path: path.to_owned(), source });
            roots.add(certificate.clone()).map_err(refused)?;
        }
        let issuers = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { issuers: issuers.map_err(TrustError::Verifier)?, trusted })
    }
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.issuers.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // That it may not be a server is said after its time was looked at, and before its name is.
            Err(Error::InvalidCertificate(Wrong::Other(_))) if self.trusted.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.issuers.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.issuers.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issuers.supported_verify_schemes()
    }
}

/// The fault of the other side that a failed handshake shows.
pub fn fault_of(error: &Error) -> TlsFault {
    match error {
        Error::InvalidCertificate(wrong) => match wrong {
            Wrong::Expired | Wrong::ExpiredContext { .. } => TlsFault::Expired,
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => TlsFault::NotYetValid,
            Wrong::UnknownIssuer => TlsFault::UnknownIssuer,
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => TlsFault::WrongName,
            Wrong::Revoked => TlsFault::Revoked,
            // WebPKI says this of a certificate that is its own issuer, before it looks for another issuer.
            Wrong::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => TlsFault::UnknownIssuer,
            _ => TlsFault::BadCertificate,
        },
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::AccessDenied,
        ) => TlsFault::ClientCertificate,
        Error::InvalidMessage(_) => TlsFault::NotTls,
        _ => TlsFault::Handshake,
    }
}

//! Components from registries: a strategy or an approach that the configuration names by its place and its digest, as
//! containers are named. <https://github.com/opencontainers/distribution-spec>
//!
//! What is fetched is what the digest says, or an error; so a component that was fetched once is never asked for again, and a
//! server starts without the registry from what it has kept. Where the configuration names a key, the component must have been
//! signed with it. A registry is asked when a configuration is checked or loaded, never for a request.

mod pull;
mod push;
mod signature;
mod store;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;

use crate::config::{Image, Registry};
pub use pull::{Pulled, pull, resolve};
pub use push::push;
pub use store::use_store;

/// A registry must have given everything within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// It must connect within this time, and send something at least so often.
const CONNECT: Duration = Duration::from_secs(10);

/// The media types under which components are kept: the one of
/// <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>, and those that were used before it.
const COMPONENT_TYPES: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];

/// The reason why a component does not come from a registry, in words that follow its name.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The registry refuses whoever asks.
    #[error("registry {host} does not let us in: give `username` and `password` under `registries: {{{host}: ...}}`")]
    Refused {
        /// The registry.
        host: String,
    },
    /// It has no such component.
    #[error("registry {host} has no {what}")]
    Missing {
        /// The registry.
        host: String,
        /// The component that was asked for.
        what: String,
    },
    /// It cannot be asked.
    #[error("registry {host} cannot be asked: {why}")]
    Unreachable {
        /// The registry.
        host: String,
        /// The reason.
        why: String,
    },
    /// The registry has given something that is no component.
    #[error("{0}")]
    Unusable(String),
    /// It is larger than the limit.
    #[error("is larger than {0} bytes, the limit set by `strategies.limits.max_bytes`")]
    TooLarge(u64),
    /// It was not signed with the key that is wanted.
    #[error("{0}")]
    Unsigned(String),
}

/// The bytes of a component: those that were kept, or else those that its registry gives. Waits for the registry, for a minute
/// at most.
///
/// # Errors
///
/// [`ImageError`], whose text follows the name of the strategy or approach.
pub fn fetch(image: &Image, most: u64) -> Result<Vec<u8>, ImageError> {
    let kept = store::component(image, most)?;
    let bytes = match kept {
        Some(bytes) => bytes,
        None => {
            tracing::info!("{image} is fetched from its registry");
            let pulled = waiting(&image.host, pull(image, most))?;
            store::keep(image, &pulled);
            pulled.bytes
        }
    };
    let Some(key) = &image.key else { return Ok(bytes) };
    let key = signature::Key::read(key)?;
    if let Some(proofs) = store::proofs(image)
        && key.has_signed(image, &proofs)
    {
        return Ok(bytes);
    }
    let proofs = waiting(&image.host, signature::proofs(image))?;
    if !key.has_signed(image, &proofs) {
        return Err(ImageError::Unsigned(match proofs.len() {
            0 => format!("has no signature in its registry; sign it with `cosign sign --key ... {image}`"),
            1 => format!("has a signature, but not one by the key {}", key.name),
            more => format!("has {more} signatures, but none by the key {}", key.name),
        }));
    }
    store::keep_proofs(image, &proofs);
    Ok(bytes)
}

/// Waits for a registry, on a thread and a runtime of its own: components are loaded inside and outside of others.
///
/// # Errors
///
/// Those of the future, and [`ImageError::Unreachable`] when it takes too long.
pub fn waiting<T: Send>(
    host: &str,
    future: impl Future<Output = Result<T, ImageError>> + Send,
) -> Result<T, ImageError> {
    let unreachable = |why: String| ImageError::Unreachable { host: host.to_owned(), why };
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| unreachable(error.to_string()))?;
        let bounded = async { tokio::time::timeout(PATIENCE, future).await };
        runtime.block_on(bounded).unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(unreachable(format!("it has not given everything within {seconds} s")))
        })
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("registry".to_owned()).spawn_scoped(scope, run);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(unreachable("the client broke".to_owned())),
            Err(error) => Err(unreachable(format!("no thread can be started: {error}"))),
        }
    })
}

/// A client for one registry.
fn client(registry: &Registry, host: &str) -> Result<Client, ImageError> {
    // Ours is the provider of TLS, unless another one has been set.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let protocol = if registry.http { ClientProtocol::Http } else { ClientProtocol::Https };
    let proxy = registry.proxy.as_ref().map_or("http://127.0.0.1:9", |proxy| proxy.reveal()).to_owned();
    let config = ClientConfig {
        protocol,
        connect_timeout: Some(CONNECT),
        read_timeout: Some(CONNECT),
        user_agent: concat!("pointsman/", env!("CARGO_PKG_VERSION")),
        platform_resolver: None,
        // Never that of the environment by itself: see `network.proxy`.
        https_proxy: Some(proxy.clone()),
        http_proxy: Some(proxy),
        no_proxy: registry.proxy.is_none().then(|| "*,0.0.0.0/0,::/0".to_owned()),
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(|error| of(host, "client", error))
}

fn login(registry: &Registry) -> RegistryAuth {
    match (&registry.username, &registry.password) {
        (Some(username), Some(password)) => RegistryAuth::Basic(username.clone(), password.reveal().to_owned()),
        (None, Some(token)) => RegistryAuth::Bearer(token.reveal().to_owned()),
        (_, None) => RegistryAuth::Anonymous,
    }
}

fn reference(image: &Image) -> Reference {
    Reference::with_digest(image.host.clone(), image.repository.clone(), image.digest.clone())
}

/// The reason why a registry has not given `what`.
fn of(host: &str, what: &str, error: OciDistributionError) -> ImageError {
    use OciDistributionError as Error;
    let host = host.to_owned();
    match error {
        Error::AuthenticationFailure(_)
        | Error::UnauthorizedError { .. }
        | Error::ServerError { code: 401 | 403, .. } => ImageError::Refused { host },
        Error::ImageManifestNotFoundError(_) | Error::ServerError { code: 404, .. } => {
            ImageError::Missing { host, what: what.to_owned() }
        }
        Error::RegistryError { envelope, .. } => {
            use oci_client::errors::OciErrorCode as Code;
            let has = |codes: &[Code]| envelope.errors.iter().any(|error| codes.contains(&error.code));
            if has(&[Code::Unauthorized, Code::Denied]) {
                ImageError::Refused { host }
            } else if has(&[Code::ManifestUnknown, Code::NameUnknown, Code::BlobUnknown, Code::NotFound]) {
                ImageError::Missing { host, what: what.to_owned() }
            } else {
                ImageError::Unreachable { host, why: one_line(&envelope) }
            }
        }
        Error::DigestError(error) => {
            ImageError::Unusable(format!("is not what its digest says: registry {host} gives other bytes ({error})"))
        }
        Error::RequestError(error) => ImageError::Unreachable { host, why: one_line(&chain(&error)) },
        error => ImageError::Unreachable { host, why: one_line(&error) },
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Words of others, on one line and not too many.
fn one_line(text: &dyn fmt::Display) -> String {
    text.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

#[cfg(test)]
mod tests;

//! Fetching: the manifest that a digest names, and the one component that it lists.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use oci_client::Reference;
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWrite;

use super::{COMPONENT_TYPES, ImageError, client, login, of, reference};
use crate::config::{Image, Registry};

/// The media types of manifests that are asked for.
pub(super) const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// The largest manifest.
const MANIFEST: usize = 4 << 20;

/// A component as a registry has given it, equal to what its digests say.
#[derive(Debug)]
pub struct Pulled {
    /// The manifest, whose digest is that of the image.
    pub manifest: Vec<u8>,
    /// The component.
    pub bytes: Vec<u8>,
}

/// Fetches a component of `most` bytes at most.
///
/// # Errors
///
/// [`ImageError`].
pub async fn pull(image: &Image, most: u64) -> Result<Pulled, ImageError> {
    let host = &image.host;
    let (client, from) = (client(&image.registry, host)?, reference(image));
    let manifest = client.pull_manifest_raw(&from, &login(&image.registry), &MANIFESTS).await;
    let (manifest, _) = manifest.map_err(|error| of(host, &image.to_string(), error))?;
    if manifest.len() > MANIFEST || digest_of(&manifest) != image.digest {
        return Err(ImageError::Unusable(format!("is not what its digest says: registry {host} gives other bytes")));
    }
    let layer = component_of(&manifest)?;
    if u64::try_from(layer.size).is_ok_and(|size| size > most) {
        return Err(ImageError::TooLarge(most));
    }
    let mut bytes = Bounded::new(most);
    let pulled = client.pull_blob(&from, &layer, &mut bytes).await;
    if bytes.is_full() {
        return Err(ImageError::TooLarge(most));
    }
    pulled.map_err(|error| of(host, &format!("{image}, layer {}", layer.digest), error))?;
    Ok(Pulled { manifest: manifest.to_vec(), bytes: bytes.into_bytes() })
}

/// The digest that a tag stands for at present.
///
/// # Errors
///
/// [`ImageError`].
pub async fn resolve(host: &str, repository: &str, tag: &str, registry: &Registry) -> Result<String, ImageError> {
    let from = Reference::with_tag(host.to_owned(), repository.to_owned(), tag.to_owned());
    let manifest = client(registry, host)?.pull_manifest_raw(&from, &login(registry), &MANIFESTS).await;
    let (manifest, _) = manifest.map_err(|error| of(host, &format!("{host}/{repository}:{tag}"), error))?;
    Ok(digest_of(&manifest))
}

/// The component that a manifest lists.
///
/// # Errors
///
/// [`ImageError::Unusable`] when there is none, or more than one.
pub fn component_of(manifest: &[u8]) -> Result<OciDescriptor, ImageError> {
    let not = |why: &str| ImageError::Unusable(format!("is no component: {why}"));
    let read: OciImageManifest =
        serde_json::from_slice(manifest).map_err(|_| not("its manifest is not that of one image"))?;
    let is_component = |layer: &OciDescriptor| COMPONENT_TYPES.contains(&layer.media_type.as_str());
    let mut layers = read.layers.into_iter().filter(is_component);
    match (layers.next(), layers.next()) {
        (Some(layer), None) => Ok(layer),
        (None, _) => Err(not("none of its layers is application/wasm")),
        (Some(_), Some(_)) => Err(not("it has several layers that are application/wasm")),
    }
}

/// The digest of these bytes, as registries write it.
pub fn digest_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Takes so many bytes, and fails when there are more.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    most: u64,
    is_full: bool,
}

impl Bounded {
    pub fn new(most: u64) -> Self {
        Self { bytes: Vec::new(), most, is_full: false }
    }

    /// True when there were more.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if (self.bytes.len() + bytes.len()) as u64 > self.most {
            self.is_full = true;
            return Poll::Ready(Err(io::Error::other("it is too large")));
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

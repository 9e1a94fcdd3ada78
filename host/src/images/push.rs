//! Publishing: a component as an artifact of one layer, in the form that other tools for WebAssembly read.
//! <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>

use oci_client::Reference;
use oci_client::client::{Config, ImageLayer};
use oci_client::manifest::OciImageManifest;
use serde_json::json;

use super::pull::digest_of;
use super::{COMPONENT_TYPES, ImageError, client, login, of};
use crate::config::Registry;

/// The media type of the configuration of such an artifact.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// Puts a component into a registry under a tag; gives its digest, by which configurations name it. The same bytes give the
/// same digest.
///
/// # Errors
///
/// [`ImageError`].
pub async fn push(
    (host, repository, tag): (&str, &str, &str),
    registry: &Registry,
    component: Vec<u8>,
) -> Result<String, ImageError> {
    let layer = ImageLayer::new(component, COMPONENT_TYPES[0].to_owned(), None);
    let config = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [digest_of(&layer.data)],
    });
    let config = Config::new(config.to_string().into_bytes(), CONFIG.to_owned(), None);
    let layers = [layer];
    let manifest = OciImageManifest::build(&layers, &config, None);
    let to = Reference::with_tag(host.to_owned(), repository.to_owned(), tag.to_owned());
    let client = client(registry, host)?;
    let name = format!("{host}/{repository}:{tag}");
    let pushed = client.push(&to, &layers, config, &login(registry), Some(manifest)).await;
    pushed.map_err(|error| of(host, &name, error))?;
    super::pull::resolve(host, repository, tag, registry).await
}

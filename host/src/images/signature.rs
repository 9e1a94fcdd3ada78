//! Signatures by a key of one's own, as `cosign sign --key` makes them: ECDSA on P-256 with SHA-256, in either of the two forms
//! in which registries hold them. <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>
//!
//! Signatures without a key (by an identity and a transparency log) are not looked at: whoever wants those verifies them where
//! the digest is written into the configuration.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use oci_client::Reference;
use oci_client::client::Client;
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pull::MANIFESTS;
use super::{ImageError, client, login, of, reference};
use crate::config::Image;

/// The bytes before the point in the DER form of a P-256 public key.
pub(super) const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// The most signatures that are looked at, and the largest of them.
const MOST: usize = 32;
const LARGEST: usize = 256 << 10;

/// A possible proof that an image was signed: a text and signatures of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The signed text.
    pub payload: String,
    /// Its type, in an envelope; it is signed with the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_type: Option<String>,
    /// The signatures, in Base64.
    pub signatures: Vec<String>,
}

/// A public key.
#[derive(Debug)]
pub struct Key {
    /// The file, for messages.
    pub name: String,
    point: Vec<u8>,
}

impl Key {
    /// Reads a PEM file.
    ///
    /// # Errors
    ///
    /// [`ImageError::Unsigned`] when it is no key of this kind.
    pub fn read(path: &Path) -> Result<Self, ImageError> {
        let name = path.display().to_string();
        let wrong = |why: &str| ImageError::Unsigned(format!("cannot be verified: the key {name} {why}"));
        let key = SubjectPublicKeyInfoDer::from_pem_file(path).map_err(|_| {
            wrong("is no public key in PEM form, as `cosign generate-key-pair` writes it to cosign.pub")
        })?;
        match key.strip_prefix(&P256) {
            Some(point) if point.len() == 65 => Ok(Self { point: point.to_vec(), name }),
            _ => Err(wrong("is not one of the kind that `cosign generate-key-pair` makes: ECDSA on P-256")),
        }
    }

    /// True when one of these proofs is a signature of the image by this key.
    pub fn has_signed(&self, image: &Image, proofs: &[Proof]) -> bool {
        proofs.iter().any(|proof| proof.names(&image.digest) && proof.is_by(self))
    }
}

impl Proof {
    fn is_by(&self, key: &Key) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key.point);
        let signed = match &self.payload_type {
            None => self.payload.clone().into_bytes(),
            // https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
            Some(kind) => {
                let (text, payload) = (format!("DSSEv1 {} {kind} {} ", kind.len(), self.payload.len()), &self.payload);
                format!("{text}{payload}").into_bytes()
            }
        };
        let signatures = self.signatures.iter().filter_map(|signature| BASE64.decode(signature).ok());
        signatures.into_iter().any(|signature| key.verify(&signed, &signature).is_ok())
    }

    /// True when the signed text is about the image with this digest.
    fn names(&self, digest: &str) -> bool {
        let Ok(text) = serde_json::from_str::<Value>(&self.payload) else { return false };
        match self.payload_type.as_deref() {
            None => text["critical"]["image"]["docker-manifest-digest"] == digest,
            Some("application/vnd.in-toto+json") => {
                let is_signature = text["predicateType"].as_str().is_some_and(|kind| kind.contains("cosign/sign"));
                let hex = digest.trim_start_matches("sha256:");
                let subjects = text["subject"].as_array().map(Vec::as_slice).unwrap_or_default();
                is_signature && subjects.iter().any(|subject| subject["digest"]["sha256"] == hex)
            }
            Some(_) => false,
        }
    }

    /// The proof in a bundle.
    pub fn in_bundle(bundle: &[u8]) -> Option<Self> {
        let bundle: Value = serde_json::from_slice(bundle).ok()?;
        let envelope = bundle.get("dsseEnvelope")?;
        let payload = String::from_utf8(BASE64.decode(envelope["payload"].as_str()?).ok()?).ok()?;
        let signatures = envelope["signatures"].as_array()?;
        let signatures = signatures.iter().take(MOST).filter_map(|one| Some(one["sig"].as_str()?.to_owned()));
        Some(Self {
            payload,
            payload_type: Some(envelope["payloadType"].as_str()?.to_owned()),
            signatures: signatures.collect(),
        })
    }
}

/// The signatures that a registry has of an image, in both forms.
///
/// # Errors
///
/// [`ImageError`] when the registry cannot be asked; that it has none is no error.
pub async fn proofs(image: &Image) -> Result<Vec<Proof>, ImageError> {
    let client = client(&image.registry, &image.host)?;
    let mut proofs = Vec::new();
    let tag = format!("{}.sig", image.digest.replace(':', "-"));
    let tagged = Reference::with_tag(image.host.clone(), image.repository.clone(), tag);
    for layer in layers(&client, image, &tagged).await?.into_iter().filter(|layer| layer.media_type == SIMPLE) {
        let signature = layer.annotations.as_ref().and_then(|notes| notes.get(SIGNATURE)).cloned();
        if let (Some(signature), Some(bytes)) = (signature, blob(&client, image, &layer).await?)
            && let Ok(payload) = String::from_utf8(bytes)
        {
            proofs.push(Proof { payload, payload_type: None, signatures: vec![signature] });
        }
    }
    let Ok(referrers) = client.pull_referrers(&reference(image), None).await else { return Ok(proofs) };
    let signed = |kind: &Option<String>| kind.as_ref().is_none_or(|kind| kind.starts_with(BUNDLE));
    for entry in referrers.manifests.into_iter().filter(|entry| signed(&entry.artifact_type)).take(MOST) {
        let from = Reference::with_digest(image.host.clone(), image.repository.clone(), entry.digest);
        for layer in layers(&client, image, &from).await? {
            if layer.media_type.starts_with(BUNDLE)
                && let Some(bundle) = blob(&client, image, &layer).await?
            {
                proofs.extend(Proof::in_bundle(&bundle));
            }
        }
    }
    proofs.truncate(MOST);
    Ok(proofs)
}

/// The layers of a manifest; none if it is not there.
async fn layers(client: &Client, image: &Image, from: &Reference) -> Result<Vec<OciDescriptor>, ImageError> {
    let pulled = client.pull_manifest_raw(from, &login(&image.registry), &MANIFESTS).await;
    let manifest = match pulled.map_err(|error| of(&image.host, &from.to_string(), error)) {
        Ok((manifest, _)) => manifest,
        Err(ImageError::Missing { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let manifest: Option<OciImageManifest> = serde_json::from_slice(&manifest).ok();
    Ok(manifest.map(|manifest| manifest.layers.into_iter().take(MOST).collect()).unwrap_or_default())
}

/// A small blob; none if it is larger than signatures are.
async fn blob(client: &Client, image: &Image, layer: &OciDescriptor) -> Result<Option<Vec<u8>>, ImageError> {
    if usize::try_from(layer.size).is_ok_and(|size| size > LARGEST) {
        return Ok(None);
    }
    let mut bytes = super::pull::Bounded::new(LARGEST as u64);
    let pulled = client.pull_blob(&reference(image), layer, &mut bytes).await;
    if bytes.is_full() {
        return Ok(None);
    }
    pulled.map_err(|error| of(&image.host, &format!("a signature of {image}"), error))?;
    Ok(Some(bytes.into_bytes()))
}

//! Signatures and manifests without a registry; with a real one see `tests/process/images.rs`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use super::pull::component_of;
use super::signature::{Key, P256, Proof};
use super::*;

struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { pair, random }
    }

    fn key(&self, folder: &Path) -> Key {
        let der = [&P256[..], self.pair.public_key().as_ref()].concat();
        let file = folder.join("cosign.pub");
        std::fs::write(&file, pem(&der)).unwrap();
        Key::read(&file).unwrap()
    }

    fn sign(&self, text: &str) -> String {
        BASE64.encode(self.pair.sign(&self.random, text.as_bytes()).unwrap())
    }
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64.encode(der))
}

fn image() -> Image {
    let (host, repository) = ("ghcr.io".to_owned(), "acme/pick".to_owned());
    let digest = format!("sha256:{}", "ab".repeat(32));
    Image { host, repository, digest, registry: Registry::default(), key: None }
}

fn simple(signer: &Signer, digest: &str) -> Proof {
    let payload = json!({"critical": {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature"}, "optional": null});
    let payload = payload.to_string();
    Proof { signatures: vec![signer.sign(&payload)], payload, payload_type: None }
}

#[test]
fn a_signature_counts_when_it_is_by_the_key_and_about_the_image() {
    let (folder, ours, other) = (tempfile::tempdir().unwrap(), Signer::new(), Signer::new());
    let (key, image) = (ours.key(folder.path()), image());
    assert!(!key.has_signed(&image, &[]));
    assert!(key.has_signed(&image, &[simple(&ours, &image.digest)]));
    assert!(key.has_signed(&image, &[simple(&other, &image.digest), simple(&ours, &image.digest)]));
    assert!(!key.has_signed(&image, &[simple(&other, &image.digest)]));
    assert!(!key.has_signed(&image, &[simple(&ours, &format!("sha256:{}", "cd".repeat(32)))]));
    let mut changed = simple(&ours, &image.digest);
    changed.payload = changed.payload.replace("container", "Container");
    assert!(!key.has_signed(&image, &[changed]));
}

#[test]
fn a_bundle_counts_when_its_statement_is_a_signature_of_the_image() {
    let (folder, ours) = (tempfile::tempdir().unwrap(), Signer::new());
    let (key, image) = (ours.key(folder.path()), image());
    let bundle = |hex: &str, predicate: &str| {
        let statement = json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate,
            "subject": [{"name": "", "digest": {"sha256": hex}}], "predicate": {}});
        let (statement, kind) = (statement.to_string(), "application/vnd.in-toto+json");
        let signature = ours.sign(&format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len()));
        let bundle = json!({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": {
            "payload": BASE64.encode(&statement), "payloadType": kind, "signatures": [{"sig": signature}]}});
        Proof::in_bundle(bundle.to_string().as_bytes()).unwrap()
    };
    let sign = "https://sigstore.dev/cosign/sign/v1";
    assert!(key.has_signed(&image, &[bundle(&"ab".repeat(32), sign)]));
    assert!(!key.has_signed(&image, &[bundle(&"cd".repeat(32), sign)]));
    assert!(!key.has_signed(&image, &[bundle(&"ab".repeat(32), "https://slsa.dev/provenance/v1")]));
    assert_eq!(Proof::in_bundle(b"{}"), None);
}

#[test]
fn a_key_of_another_kind_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| -> PathBuf {
        let file = folder.path().join("key");
        std::fs::write(&file, text).unwrap();
        file
    };
    let why = |text: &str| Key::read(&file(text)).unwrap_err().to_string();
    assert!(why("nothing").contains("no public key in PEM form"));
    assert!(why(&pem(&[0x30; 91])).contains("ECDSA on P-256"));
}

#[test]
fn a_manifest_has_one_component() {
    let layer = |kind: &str| json!({"mediaType": kind, "digest": image().digest, "size": 3});
    let manifest = |layers: &[serde_json::Value]| {
        let config = layer("application/vnd.wasm.config.v0+json");
        json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string().into_bytes()
    };
    let wasm = || layer("application/wasm");
    assert_eq!(component_of(&manifest(&[wasm()])).unwrap().size, 3);
    assert!(component_of(&manifest(&[layer("text/plain"), wasm()])).is_ok());
    let why = |bytes: &[u8]| component_of(bytes).unwrap_err().to_string();
    assert!(why(&manifest(&[layer("text/plain")])).contains("none of its layers"));
    assert!(why(&manifest(&[wasm(), wasm()])).contains("several layers"));
    assert!(why(b"[]").contains("manifest"));
}

/// A real registry, which ends with the test.
struct Real {
    child: std::process::Child,
    host: String,
    folder: tempfile::TempDir,
}

impl Real {
    fn start() -> Self {
        use std::io::BufRead as _;
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        let data = folder.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n",
            data.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = std::process::Command::new("docker-registry");
        command.arg("serve").arg(config).stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        let mut child = command.spawn().expect("docker-registry is missing: install the package docker-registry");
        let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the registry ended before it listened");
        }
        let host = line.split("listening on ").nth(1).unwrap().split(['"', ' ', ',']).next().unwrap().to_owned();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, host, folder }
    }

    /// Puts a signature beside an image, as `cosign sign` does.
    fn keep_signature(&self, image: &Image, proof: &Proof) {
        let (proof, image) = (proof.clone(), image.clone());
        let layer = oci_client::client::ImageLayer::new(
            proof.payload.into_bytes(),
            "application/vnd.dev.cosign.simplesigning.v1+json".to_owned(),
            Some([("dev.cosignproject.cosign/signature".to_owned(), proof.signatures[0].clone())].into()),
        );
        let config = oci_client::client::Config::oci_v1(b"{}".to_vec(), None);
        let layers = [layer];
        let manifest = oci_client::manifest::OciImageManifest::build(&layers, &config, None);
        let tag = format!("{}.sig", image.digest.replace(':', "-"));
        let to = Reference::with_tag(image.host.clone(), image.repository.clone(), tag);
        let registry = Registry::usual(&image.host);
        let pushed = async {
            let client = client(&registry, &image.host)?;
            let pushed = client.push(&to, &layers, config, &RegistryAuth::Anonymous, Some(manifest)).await;
            pushed.map(drop).map_err(|error| of(&image.host, "signature", error))
        };
        waiting(&image.host, pushed).unwrap();
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_component_is_used_once_its_registry_has_a_signature_by_the_key() {
    let (real, ours, other) = (Real::start(), Signer::new(), Signer::new());
    let host = &real.host;
    drop(ours.key(real.folder.path()));
    let registry = Registry::usual(host);
    let component = b"\0asm\x0d\0\x01\0".to_vec();
    let digest = waiting(host, push((host, "acme/pick", "1"), &registry, component.clone())).unwrap();
    let key = Some(real.folder.path().join("cosign.pub"));
    let image = Image { host: host.clone(), repository: "acme/pick".to_owned(), digest, registry, key };
    let unsigned = || fetch(&image, 1000).unwrap_err().to_string();
    assert!(unsigned().contains("has no signature"), "{}", unsigned());
    real.keep_signature(&image, &simple(&other, &image.digest));
    assert!(unsigned().contains("none by the key") || unsigned().contains("not one by the key"), "{}", unsigned());
    real.keep_signature(&image, &simple(&ours, &image.digest));
    assert_eq!(fetch(&image, 1000).unwrap(), component);
    let small = fetch(&image, 4).unwrap_err().to_string();
    assert!(small.contains("larger than 4 bytes"), "{small}");
}

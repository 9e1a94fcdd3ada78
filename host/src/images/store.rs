//! The components that were fetched, as files in the cache folder. Their names are their digests, and they are checked against
//! those each time: whatever happens to a file, nothing else is loaded.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::ImageError;
use super::pull::{Pulled, component_of, digest_of};
use super::signature::Proof;
use crate::config::Image;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Keeps what is fetched in a folder inside of `cache`, for the rest of this process; a second call changes nothing.
pub fn use_store(cache: &Path) {
    drop(FOLDER.set(cache.join("images")));
}

/// The kept component, if it is there and intact.
///
/// # Errors
///
/// [`ImageError::TooLarge`].
pub(super) fn component(image: &Image, most: u64) -> Result<Option<Vec<u8>>, ImageError> {
    let Some(manifest) = read(&image.digest, "json", 4 << 20).filter(|bytes| digest_of(bytes) == image.digest) else {
        return Ok(None);
    };
    let layer = component_of(&manifest)?;
    if u64::try_from(layer.size).is_ok_and(|size| size > most) {
        return Err(ImageError::TooLarge(most));
    }
    Ok(read(&layer.digest, "wasm", most).filter(|bytes| digest_of(bytes) == layer.digest))
}

/// Keeps a component.
pub(super) fn keep(image: &Image, pulled: &Pulled) {
    // The manifest comes last: where it is, the component is.
    write(&digest_of(&pulled.bytes), "wasm", &pulled.bytes);
    write(&image.digest, "json", &pulled.manifest);
}

/// The kept signatures of an image; they are worth what they prove.
pub(super) fn proofs(image: &Image) -> Option<Vec<Proof>> {
    serde_json::from_slice(&read(&image.digest, "signatures", 1 << 20)?).ok()
}

/// Keeps signatures.
pub(super) fn keep_proofs(image: &Image, proofs: &[Proof]) {
    if let Ok(text) = serde_json::to_vec(proofs) {
        write(&image.digest, "signatures", &text);
    }
}

fn path(digest: &str, kind: &str) -> Option<PathBuf> {
    let name = digest.strip_prefix("sha256:").filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some(FOLDER.get()?.join(format!("{name}.{kind}")))
}

fn read(digest: &str, kind: &str, most: u64) -> Option<Vec<u8>> {
    let path = path(digest, kind)?;
    let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
    let file = is_file.then(|| fs::File::open(&path).ok()).flatten()?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}

/// Writes a file whole or not at all. A failure is said: without the file the next start needs the registry.
fn write(digest: &str, kind: &str, bytes: &[u8]) {
    let Some(path) = path(digest, kind) else { return };
    let written = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let temporary = path.with_extension(format!("{kind}.{}", std::process::id()));
        let mut file = fs::File::create(&temporary)?;
        let done = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, &path));
        if done.is_err() {
            drop(fs::remove_file(&temporary));
        }
        done
    };
    if let Err(error) = written() {
        let path = path.display();
        tracing::warn!("what was fetched cannot be kept in {path} ({error}): the next start asks the registry again");
    }
}

//! Compiled code on disk: a component in an interpreted language takes tens of seconds to compile, but loads in less
//! than a second.
//!
//! The cache holds machine code that runs with the rights of this process, so its origin matters most. The folder and
//! each file must belong to the user of this process and be writable by nobody else, and a digest binds the code to the
//! component and the engine that it was made from. If the cache is missing, full, damaged or not ours, components are
//! compiled instead.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use wasmtime::component::Component;

use super::artifact::chain;
use super::carried;
use super::compile::{self, Input};
use super::digest::Digest;
use super::engine::Engine;
use super::load_error::LoadError;

/// The variable that names the folder, or says `off`.
const VARIABLE: &str = "POINTSMAN_CACHE";

/// The first bytes of a file. Every change of the layout must change the number.
const MAGIC: &[u8; 16] = b"pointsman-code 1";

/// Bytes before the code: [`MAGIC`] and a digest.
const HEADER: usize = MAGIC.len() + 32;

/// The suffix of a file with code.
const CODE: &str = ".code";

/// The prefix of a file that is still being written.
const TEMPORARY: &str = ".pointsman-";

/// The most files kept; beyond it, the least recently used ones are removed.
const FILES: usize = 64;

/// The most bytes kept in all files together, and the largest single file.
const BYTES: u64 = 1 << 30;

/// The age at which a temporary file must have been left behind by a process that has ended.
const ABANDONED: Duration = Duration::from_secs(3600);

static SHARED: OnceLock<Cache> = OnceLock::new();

/// The folder for compiled code: `$POINTSMAN_CACHE`, where `off` and an empty text mean none; else `pointsman` in
/// `$XDG_CACHE_HOME` or in `~/.cache`. `None` too when none of the variables is set.
///
/// Reads the environment through `variable`.
pub fn cache_folder(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(folder) = variable(VARIABLE) {
        return (!folder.is_empty() && folder != "off").then(|| PathBuf::from(folder));
    }
    // XDG Base Directory Specification: relative paths are invalid and to be ignored.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    caches.map(|caches| caches.join("pointsman"))
}

/// Keeps compiled code in `folder`, which is created if it is missing, for the rest of this process. Call this once,
/// before the first strategy is loaded; a second call changes nothing.
///
/// If the folder cannot be used, one warning in the log says why, and strategies are compiled at each start.
pub fn use_cache(folder: &Path) {
    match Cache::open(folder) {
        Ok(cache) => drop(SHARED.set(cache)),
        Err(unusable) => {
            let folder = folder.display();
            tracing::warn!(
                "strategies are compiled at each start, because the cache {folder} cannot be used: {unusable}"
            );
        }
    }
}

/// The cache that was chosen for this process.
#[cfg(not(test))]
fn shared() -> Option<&'static Cache> {
    SHARED.get()
}

/// Unit tests load the same few components a thousand times.
#[cfg(test)]
fn shared() -> Option<&'static Cache> {
    let folder = || Path::new(env!("STRATEGIES_TARGET_DIR")).join("unit-cache");
    Some(SHARED.get_or_init(|| Cache::open(&folder()).expect("target/ is ours")))
}

/// Compiles a component, or loads it from this program or from the cache.
///
/// # Errors
///
/// The reason why it cannot be compiled.
pub fn compiled(engine: &Engine, input: &Input<'_>) -> Result<Component, LoadError> {
    let (wasm, cache) = (engine.wasm(), shared());
    if input.trusted
        && let Some(component) = carried::component(engine, input.digest)
    {
        return Ok(component);
    }
    if let Some(component) = cache.and_then(|cache| cache.load(wasm, input.digest)) {
        return Ok(component);
    }
    let began = Instant::now();
    let component = match elsewhere(engine, input)? {
        Some((code, component)) => {
            if let Some(cache) = cache {
                cache.keep(wasm, input.digest, code_in(&code));
            }
            component
        }
        None => {
            let compiled = Component::from_binary(wasm, input.bytes);
            let component = compiled.map_err(|error| LoadError::Invalid(chain(&error)))?;
            if let Some(cache) = cache {
                cache.store(wasm, input.digest, &component);
            }
            component
        }
    };
    tracing::debug!("compiled component {} in {:?}", input.digest.short(), began.elapsed());
    Ok(component)
}

/// The sealed code that another process has made, and the component loaded from it.
type Made = (Arc<[u8]>, Component);

/// The code that another process has made; `None` if the component has to be compiled in this process.
fn elsewhere(engine: &Engine, input: &Input<'_>) -> Result<Option<Made>, LoadError> {
    // Components inside this binary are trusted and small.
    if input.trusted {
        return Ok(None);
    }
    let made = compile::code(engine, input).and_then(|sealed| {
        let load = |sealed: Arc<[u8]>| {
            let component = check(engine.wasm(), input.digest, &sealed).and_then(|code| loaded(engine.wasm(), code));
            component.map(|component| (sealed, component)).map_err(LoadError::Uncompiled)
        };
        sealed.map(load).transpose()
    });
    match made {
        // If no process can be started, the strategy that the operator chose is still used.
        Err(LoadError::Uncompiled(why)) => {
            tracing::warn!("{} is compiled in the process of the server, without limits: {why}", input.source);
            Ok(None)
        }
        made => made,
    }
}

/// The code behind its header.
fn code_in(sealed: &[u8]) -> &[u8] {
    sealed.get(HEADER..).unwrap_or_default()
}

/// The header before a component's code, in a file and between processes.
pub fn header(engine: &wasmtime::Engine, component: &[u8], code: &[u8]) -> Vec<u8> {
    [&MAGIC[..], seal(engine, &Digest::of([component]), code).bytes()].concat()
}

/// A component from its code, which must come from the cache, from `compile` or from `carried`.
pub fn loaded(engine: &wasmtime::Engine, code: &[u8]) -> Result<Component, String> {
    // SAFETY: `deserialize` runs what it is given as machine code, so the bytes must be the unchanged output of
    // `Component::serialize` or `Engine::precompile_component` of a compatible engine. They are, wherever they come from.
    // From the cache: `read` took them from a regular file in a folder, both owned by this user and writable by nobody
    // else, so only this user's processes can have written them, who could as well replace this binary; `keep` writes
    // nothing else under this name, which holds the hash of the engine's compatibility. From `compile`: they came through
    // a pipe from a process that is this very program. In both cases `check` found them whole and made for this component
    // by this engine. From `carried`: they are a part of the file of this program, which `Carried::code` found whole. And they lie in our own memory, where nothing can change them any more. Wasmtime checks engine and
    // version once more by itself.
    #[expect(unsafe_code, reason = "compiled code cannot be loaded otherwise; see SAFETY above")]
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|error| format!("{error:#}"))
}

/// The reason why a folder cannot hold the cache.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a folder")]
    NotAFolder,
    #[error("it belongs to user {owner}, and this process runs as user {us}")]
    Foreign { owner: u32, us: u32 },
    #[error("others may write to it (mode {mode:03o}); `chmod 700` it")]
    Open { mode: u32 },
}

/// A folder that was checked to be ours alone.
struct Cache {
    folder: PathBuf,
    /// The user who must own the files.
    us: u32,
}

impl Cache {
    fn open(folder: &Path) -> Result<Self, Unusable> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // The user may have links on the path; from here on only the real folder counts.
        let folder = folder.canonicalize()?;
        let found = fs::symlink_metadata(&folder)?;
        if !found.is_dir() {
            return Err(Unusable::NotAFolder);
        }
        if others_may_write(&found) {
            return Err(Unusable::Open { mode: found.mode() & 0o777 });
        }
        // The owner of a new file tells which user we are, and shows that we can write here.
        let (path, file) = create_temporary(&folder)?;
        let us = file.metadata().map(|made| made.uid());
        fs::remove_file(path)?;
        let us = us?;
        if found.uid() != us {
            return Err(Unusable::Foreign { owner: found.uid(), us });
        }
        Ok(Self { folder, us })
    }

    /// The code of a component, if it is cached and intact. A damaged file is removed.
    fn load(&self, engine: &wasmtime::Engine, digest: &Digest) -> Option<Component> {
        let path = self.path(engine, digest);
        let content = match self.read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("the compiled code in {} is not used: {error}", path.display());
                return None;
            }
        };
        let component = check(engine, digest, &content).and_then(|code| loaded(engine, code));
        match component {
            Ok(component) => Some(component),
            Err(reason) => {
                tracing::warn!("the compiled code in {} is discarded: {reason}", path.display());
                drop(fs::remove_file(path));
                None
            }
        }
    }

    /// Reads a file that is regular, ours, and writable by nobody else.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let refused = |reason| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        // Checked before opening, because opening a pipe would block; and afterwards, because only that is certain.
        if !fs::symlink_metadata(path)?.is_file() {
            return refused("it is not a regular file");
        }
        let file = File::open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return refused("it is not a regular file");
        }
        if found.uid() != self.us || others_may_write(&found) {
            return refused("it does not belong to this user, or others may write to it");
        }
        if found.len() > BYTES {
            return refused("it is too large");
        }
        let mut content = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
        (&file).take(BYTES).read_to_end(&mut content)?;
        // The most recently used files are kept longest. If this fails, the file is merely removed earlier.
        drop(file.set_modified(SystemTime::now()));
        Ok(content)
    }

    /// Keeps the code of a component.
    fn store(&self, engine: &wasmtime::Engine, digest: &Digest, component: &Component) {
        match component.serialize() {
            Ok(code) => self.keep(engine, digest, &code),
            Err(error) => tracing::warn!("compiled code cannot be kept in {}: {error}", self.folder.display()),
        }
    }

    /// Keeps code.
    fn keep(&self, engine: &wasmtime::Engine, digest: &Digest, code: &[u8]) {
        let path = self.path(engine, digest);
        let write = || -> io::Result<()> {
            let (temporary, mut file) = create_temporary(&self.folder)?;
            let written = file
                .write_all(MAGIC)
                .and_then(|()| file.write_all(seal(engine, digest, code).bytes()))
                .and_then(|()| file.write_all(code))
                // The name appears only when the file is complete, even after a power failure.
                .and_then(|()| file.sync_all())
                .and_then(|()| fs::rename(&temporary, &path));
            if written.is_err() {
                drop(fs::remove_file(temporary));
            }
            written
        };
        match write() {
            Ok(()) => self.prune(FILES, BYTES),
            Err(error) => tracing::warn!("compiled code cannot be kept in {}: {error}", path.display()),
        }
    }

    /// The path of a component's code. Its name has the digests of the component and of the engine.
    fn path(&self, engine: &wasmtime::Engine, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{digest}-{:.16}{CODE}", engine_digest(engine)))
    }

    /// Removes the least recently used files beyond the limits, and files that were left half written.
    fn prune(&self, files: usize, bytes: u64) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let now = SystemTime::now();
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in entries.flatten() {
            // The user chose the folder, and it may hold other files.
            let name = entry.file_name();
            let Some(kind) = name.to_str().and_then(kind_of) else { continue };
            let Ok(found) = entry.metadata() else { continue };
            let Ok(used) = found.modified() else { continue };
            match kind {
                FileKind::Code => kept.push((used, found.len(), entry.path())),
                FileKind::Temporary if now.duration_since(used).is_ok_and(|age| age > ABANDONED) => {
                    drop(fs::remove_file(entry.path()));
                }
                FileKind::Temporary => {}
            }
        }
        kept.sort_unstable_by(|one, two| two.cmp(one));
        let mut total = 0;
        for (index, (_, size, path)) in kept.into_iter().enumerate() {
            total += size;
            if index >= files || total > bytes {
                drop(fs::remove_file(path));
            }
        }
    }
}

/// The kinds of files that the cache makes.
enum FileKind {
    Code,
    Temporary,
}

/// The kind of a file by its name; `None` if the cache did not make it.
fn kind_of(name: &str) -> Option<FileKind> {
    if name.starts_with(TEMPORARY) {
        return Some(FileKind::Temporary);
    }
    let (component, engine) = name.strip_suffix(CODE)?.split_once('-')?;
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (component.len() == 64 && engine.len() == 16 && is_hex(component) && is_hex(engine)).then_some(FileKind::Code)
}

fn others_may_write(found: &fs::Metadata) -> bool {
    found.mode() & 0o022 != 0
}

/// A new file that no other process or thread has.
fn create_temporary(folder: &Path) -> io::Result<(PathBuf, File)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{TEMPORARY}{}-{number}", std::process::id()));
        // A process with the same id may have left it behind; in a container all have the same id.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (path, file)),
        }
    }
}

/// Everything besides the component that the machine code depends on.
pub fn engine_digest(engine: &wasmtime::Engine) -> Digest {
    let compatible = Digest::of_value(&engine.precompile_compatibility_hash());
    Digest::of([&compatible.bytes()[..], env!("CARGO_PKG_VERSION").as_bytes()])
}

/// The digest that binds code to its origin.
fn seal(engine: &wasmtime::Engine, digest: &Digest, code: &[u8]) -> Digest {
    Digest::of([&digest.bytes()[..], engine_digest(engine).bytes(), code])
}

/// The code in a file's content, or the reason why it cannot be used.
fn check<'c>(engine: &wasmtime::Engine, digest: &Digest, content: &'c [u8]) -> Result<&'c [u8], String> {
    let (header, code) = content.split_at_checked(HEADER).ok_or("it is cut off")?;
    let sealed = header.strip_prefix(MAGIC).ok_or("it begins with something else")?;
    if sealed != seal(engine, digest, code).bytes() {
        return Err("it is damaged".to_owned());
    }
    Ok(code)
}

#[cfg(test)]
mod tests;

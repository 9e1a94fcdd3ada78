//! All approaches of a configuration by name: those in the binary and those in files. Each is loaded when it is first
//! needed, or at the start if whoever assembles the server asks for it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::builtin;
use super::component::{Approach, Source};
use super::session::Setting;
use crate::config::{Image, StrategyLimits};
use crate::images;
use crate::wasm::artifact;
use crate::wasm::digest::Digest;
use crate::wasm::load_error::{GuestKind, LoadError};

/// The place of an approach's component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Component {
    /// In the binary, under this name.
    BuiltIn(String),
    /// In this file.
    File(PathBuf),
    /// In a registry.
    Image(Box<Image>),
}

/// An approach that there is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name by which clients choose it.
    pub name: String,
    /// Its component.
    pub component: Component,
    /// The limits of its compilation.
    pub limits: StrategyLimits,
    /// The bytes of memory that each of its instances may take.
    pub memory: usize,
}

impl Entry {
    /// The component in this file, with the default limits.
    pub fn file(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self::of(name.into(), Component::File(path.into()))
    }

    /// The component in a registry, with the default limits.
    pub fn image(name: impl Into<String>, image: Box<Image>) -> Self {
        Self::of(name.into(), Component::Image(image))
    }

    /// The component in the binary, under its own name, with the default limits.
    pub fn built_in(name: &str) -> Self {
        Self::of(name.to_owned(), Component::BuiltIn(name.to_owned()))
    }

    fn of(name: String, component: Component) -> Self {
        Self { name, component, limits: StrategyLimits::default(), memory: Setting::MEMORY }
    }

    /// The files in the folder `approaches` below `folder`, sorted by name: `approaches/NAME.wasm`, where a name consists of
    /// `a` to `z`, digits and `_`. None if there is no such folder.
    pub fn found_in(folder: &Path) -> Vec<Self> {
        let Ok(files) = std::fs::read_dir(folder.join("approaches")) else { return Vec::new() };
        let entry = |path: PathBuf| {
            let name = path.file_stem()?.to_str()?;
            let is_wasm = path.extension().is_some_and(|extension| extension == "wasm");
            let is_name = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
            (is_wasm && is_name).then(|| Self::file(name, &path))
        };
        let mut found: Vec<Self> = files.flatten().filter_map(|file| entry(file.path())).collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }

    fn bytes(&self) -> Result<Cow<'static, [u8]>, LoadError> {
        match &self.component {
            Component::BuiltIn(name) => {
                let (wanted, builtins) = (GuestKind::Approach, builtin::NAMES);
                let found = builtin::find(name).map(Cow::Borrowed);
                found.ok_or_else(|| LoadError::NotBuiltIn { wanted, name: name.clone(), builtins })
            }
            Component::File(path) => artifact::read(path, self.limits.max_bytes).map(Cow::Owned),
            Component::Image(image) => Ok(Cow::Owned(images::fetch(image, self.limits.max_bytes)?)),
        }
    }

    /// Loads it, unless `before` is the same component.
    fn load(&self, before: Option<Arc<Approach>>) -> Result<Arc<Approach>, LoadError> {
        let bytes = self.bytes()?;
        let is_same = |before: &Arc<Approach>| {
            before.memory() == self.memory && before.digest() == Digest::of([&*bytes]).to_string()
        };
        if let Some(before) = before.filter(is_same) {
            return Ok(before);
        }
        let built_in = matches!(self.component, Component::BuiltIn(_));
        let Self { name, limits, memory, .. } = self;
        let source = Source { name, bytes: &bytes, built_in, limits: *limits, memory: *memory };
        Approach::load(&source).map(Arc::new)
    }
}

/// The reason why there is no approach for a request.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unavailable {
    /// No approach has this name.
    #[error("no approach has this name")]
    Unknown,
    /// It does not load.
    #[error("does not load")]
    Unloadable(#[source] Arc<LoadError>),
    /// It has broken too often, and is left alone for this long.
    #[error("has broken too often, and is left alone for {} ms", .0.as_millis())]
    Resting(Duration),
}

/// One approach, loaded or not.
struct Slot {
    entry: Entry,
    /// The one of the same name in the configuration before, which may be the same.
    before: Option<Arc<Approach>>,
    loaded: OnceCell<Result<Arc<Approach>, Arc<LoadError>>>,
}

impl Slot {
    fn loaded(&self) -> Option<&Arc<Approach>> {
        self.loaded.get()?.as_ref().ok()
    }
}

/// All approaches of a configuration.
pub struct Registry {
    slots: BTreeMap<String, Arc<Slot>>,
}

impl Registry {
    /// The approaches in the binary, and `entries`, of which one replaces that of the same name in the binary. What
    /// `before` has loaded is kept, with its standing, where the component is the same. Loads nothing.
    pub fn new(entries: impl IntoIterator<Item = Entry>, before: Option<&Registry>) -> Self {
        let built_in = builtin::NAMES.iter().map(|name| Entry::built_in(name));
        let slot = |entry: Entry| {
            let before = before.and_then(|before| before.slots.get(&entry.name)?.loaded().cloned());
            (entry.name.clone(), Arc::new(Slot { entry, before, loaded: OnceCell::new() }))
        };
        Self { slots: built_in.chain(entries).map(slot).collect() }
    }

    /// The names of all, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.keys().map(String::as_str)
    }

    /// True when there is one of this name, whether or not it loads.
    pub fn contains(&self, name: &str) -> bool {
        self.slots.contains_key(name)
    }

    /// Those that are loaded, sorted by name.
    pub fn loaded(&self) -> impl Iterator<Item = &Arc<Approach>> {
        self.slots.values().filter_map(|slot| slot.loaded())
    }

    /// Loads one, at a start or a reload. Takes from milliseconds to tens of seconds, and must not run on a Tokio worker
    /// that has other work.
    ///
    /// # Errors
    ///
    /// [`Unavailable::Unknown`] or [`Unavailable::Unloadable`].
    pub fn load(&self, name: &str) -> Result<Arc<Approach>, Unavailable> {
        let slot = self.slots.get(name).ok_or(Unavailable::Unknown)?;
        if slot.loaded.get().is_none() {
            // If a request has been faster, its result counts.
            let _ = slot.loaded.set(slot.entry.load(slot.before.clone()).map_err(Arc::new));
        }
        let loaded = slot.loaded.get().cloned().ok_or(Unavailable::Unknown)?;
        loaded.map_err(Unavailable::Unloadable)
    }

    /// The approach for a request. The first request of each waits until it is loaded; the result is remembered, even if it
    /// is an error.
    ///
    /// # Errors
    ///
    /// [`Unavailable`], also while it rests.
    pub async fn get(&self, name: &str) -> Result<Arc<Approach>, Unavailable> {
        let slot = self.slots.get(name).ok_or(Unavailable::Unknown)?;
        let load = || async {
            let slot = Arc::clone(slot);
            let loading = tokio::task::spawn_blocking(move || slot.entry.load(slot.before.clone()));
            let loaded = loading.await.unwrap_or_else(|error| Err(LoadError::Engine(error.to_string())));
            loaded.map_err(Arc::new)
        };
        let approach = slot.loaded.get_or_init(load).await.clone().map_err(Unavailable::Unloadable)?;
        match approach.standing().rests() {
            Some(left) => Err(Unavailable::Resting(left)),
            None => Ok(approach),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approach::FaultKind;
    use crate::strategy::tests::component;

    #[tokio::test]
    async fn has_what_is_built_in_and_what_lies_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("approaches")).unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join("approaches").join(name), bytes).unwrap();
        };
        write("asker.wasm", &component("asker"));
        write("broken.wasm", b"nothing");
        write("No-Name.wasm", b"");
        write("text.txt", b"");
        let entries = Entry::found_in(folder.path());
        assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["asker", "broken"]);

        let registry = Registry::new(entries.clone(), None);
        assert!(registry.contains("asker") && registry.contains("broken") && !registry.contains("other"));
        assert!(builtin::NAMES.iter().all(|name| registry.contains(name)) && registry.loaded().count() == 0);
        let asker = registry.get("asker").await.expect("loads");
        assert!(Arc::ptr_eq(&asker, &registry.load("asker").expect("loaded")));
        assert!(matches!(registry.get("other").await, Err(Unavailable::Unknown)));
        assert!(matches!(registry.get("broken").await, Err(Unavailable::Unloadable(_))));

        // What is the same goes on, with its faults; what is another component begins anew.
        for _ in 0..3 {
            asker.standing().note(Some(FaultKind::Trapped));
        }
        let next = Registry::new(entries.clone(), Some(&registry));
        assert!(Arc::ptr_eq(&asker, &next.load("asker").expect("loaded")));
        assert!(matches!(next.get("asker").await, Err(Unavailable::Resting(_))));
        write("asker.wasm", b"another");
        let last = Registry::new(entries, Some(&next));
        assert!(matches!(last.get("asker").await, Err(Unavailable::Unloadable(_))));
        assert_eq!(last.loaded().count(), 0);
    }

    #[tokio::test]
    async fn a_file_replaces_what_is_built_in() {
        let folder = tempfile::tempdir().unwrap();
        let Some(name) = builtin::NAMES.first() else { return };
        let path = folder.path().join("asker.wasm");
        std::fs::write(&path, component("asker")).unwrap();
        let registry = Registry::new([Entry::file(*name, path)], None);
        assert_eq!(registry.get(name).await.expect("loads").info().name, "asker");
        let missing = Entry { component: Component::BuiltIn("none".to_owned()), ..Entry::built_in("none") };
        let error = Registry::new([missing], None).load("none").err().expect("there is none");
        let Unavailable::Unloadable(error) = error else { panic!("{error}") };
        assert!(error.to_string().starts_with("no approach `none` is built in; available: "), "{error}");
    }
}

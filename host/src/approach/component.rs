//! From bytes to an approach that says what it is, or to the reason why not.
//!
//! Everything that can be wrong with a file somebody built is found here, once; what can go wrong with a request is
//! `session`'s business.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};

use super::contract::{PACKAGE, VERSION, is_ours, meta, runner};
use super::guest::{self, Line, State};
use super::session::{self, Metered, Session, Setting};
use super::standing::Standing;
use super::talk::{Desk, Request};
use super::voice::Voice;
use super::wasi;
use crate::config::StrategyLimits;
use crate::wasm::artifact::{chain, check_format};
use crate::wasm::cache;
use crate::wasm::compile::Input;
use crate::wasm::digest::Digest;
use crate::wasm::engine::Engine;
use crate::wasm::fault::Fault;
use crate::wasm::load_error::{GuestKind, LoadError};
use crate::wasm::output::{Rate, one_line};

/// The processor time of an instance that is asked what it is.
const META_CPU: Duration = Duration::from_secs(1);

/// The time that it may take in all.
const META_TIME: Duration = Duration::from_secs(10);

/// The most configurations whose verdict is remembered.
const CHECKED: usize = 256;

/// What an approach says of itself. All texts are on one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Its name, which is not the one that the configuration gives it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence, with the source of the algorithm.
    pub description: String,
    /// The members of a client's request that are meant for it, each with a sentence.
    pub options: Vec<(String, String)>,
    /// True when one run gives several answers.
    pub many: bool,
    /// True when it works with a client's tools.
    pub tools: bool,
}

/// A component that has been compiled, checked and linked: what instances are made of.
pub struct Blueprint {
    pub engine: Arc<Engine>,
    /// The instance, all but made.
    pub pre: InstancePre<State>,
    /// The place of the function that runs it.
    pub runner: runner::GuestIndices,
    meta: Option<meta::GuestIndices>,
    name: Arc<str>,
    memory: usize,
    rate: Arc<Rate>,
}

impl Blueprint {
    fn new(engine: Arc<Engine>, name: &str, input: &Input<'_>, memory: usize) -> Result<Self, LoadError> {
        check_format(input.bytes)?;
        let component = cache::compiled(&engine, input)?;
        let has_meta = check_exports(&component)?;
        check_imports(&component)?;
        let link = || {
            let mut linker = Linker::new(engine.wasm());
            guest::link(&mut linker)?;
            let pre = linker.instantiate_pre(&component)?;
            let runner = runner::GuestIndices::new(&pre)?;
            let meta = has_meta.then(|| meta::GuestIndices::new(&pre)).transpose()?;
            Ok((pre, runner, meta))
        };
        let (pre, runner, meta) = link().map_err(|error: wasmtime::Error| LoadError::Mismatch(chain(&error)))?;
        Ok(Self { engine, pre, runner, meta, name: name.into(), memory, rate: Arc::default() })
    }

    /// The voice of a run.
    pub fn voice(&self, run: String) -> Voice {
        Voice::new(Arc::clone(&self.name), run, Arc::clone(&self.rate))
    }

    /// Asks `meta` something, in an instance of its own, in which the model does not answer.
    async fn ask<T: 'static>(&self, during: &'static str, question: impl Question<T>) -> Result<Option<T>, LoadError> {
        let Some(indices) = &self.meta else { return Ok(None) };
        let voice = Arc::new(self.voice(during.to_owned()));
        let state = State::new(self.memory, Arc::clone(&voice), (0, 0), Line::default());
        let heard = Arc::clone(&voice);
        let asked = async {
            let mut store = session::store(&self.engine, state);
            let asked = async {
                let instance = self.pre.instantiate_async(&mut store).await?;
                let meta = indices.load(&mut store, &instance)?;
                question.ask(&meta, &mut store).await
            };
            voice.end(asked.await)
        };
        let asked = Metered::new(asked, Arc::clone(&self.engine), heard, META_CPU);
        match timeout(META_TIME, asked).await {
            Ok(Ok(Ok(answer))) => Ok(Some(answer)),
            Ok(Ok(Err(fault))) => Err(LoadError::Broke { during, fault }),
            Ok(Err(session::Exhausted)) | Err(_) => Err(LoadError::Broke { during, fault: Fault::DeadlineExceeded }),
        }
    }
}

/// A question to `meta`.
trait Question<T> {
    /// Asks it.
    fn ask(
        self,
        meta: &meta::Guest,
        store: &mut wasmtime::Store<State>,
    ) -> impl Future<Output = wasmtime::Result<T>> + Send;
}

struct Describe;

impl Question<meta::Info> for Describe {
    async fn ask(self, meta: &meta::Guest, store: &mut wasmtime::Store<State>) -> wasmtime::Result<meta::Info> {
        meta.call_describe(store).await
    }
}

struct Check<'a>(&'a str);

impl Question<Result<(), String>> for Check<'_> {
    async fn ask(self, meta: &meta::Guest, store: &mut wasmtime::Store<State>) -> wasmtime::Result<Result<(), String>> {
        meta.call_check(store, self.0).await
    }
}

/// A loaded approach.
pub struct Approach {
    name: Arc<str>,
    digest: Digest,
    info: Info,
    blueprint: Arc<Blueprint>,
    /// Verdicts about configurations, by their digests.
    checked: Mutex<HashMap<[u8; 32], Result<(), String>>>,
    standing: Standing,
}

/// A component that is to be loaded as an approach.
pub struct Source<'a> {
    /// The name that logs call it.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// True for one in this binary.
    pub built_in: bool,
    /// The limits of its compilation.
    pub limits: StrategyLimits,
    /// The bytes of memory that each of its instances may take.
    pub memory: usize,
}

impl<'a> Source<'a> {
    /// A component with the default limits.
    pub fn new(name: &'a str, bytes: &'a [u8]) -> Self {
        Self { name, bytes, built_in: false, limits: StrategyLimits::default(), memory: Setting::MEMORY }
    }
}

impl Approach {
    /// Compiles a component or takes it from the cache, checks it, and asks it what it is.
    ///
    /// Takes from milliseconds to tens of seconds, and must not run on a Tokio worker that has other work.
    ///
    /// # Errors
    ///
    /// [`LoadError`], whose text follows the approach's name.
    pub fn load(source: &Source<'_>) -> Result<Self, LoadError> {
        let Source { name, bytes, built_in, limits, memory } = *source;
        let engine = Engine::shared()?;
        let digest = Digest::of([bytes]);
        let input = Input { source: &format!("approach {name}"), bytes, digest: &digest, trusted: built_in, limits };
        let blueprint = Blueprint::new(engine, name, &input, memory)?;
        let info = blocking(blueprint.ask("describe", Describe))??;
        let info = info.map(on_one_line).unwrap_or_default();
        Ok(Self {
            name: Arc::clone(&blueprint.name),
            digest,
            info,
            blueprint: Arc::new(blueprint),
            checked: Mutex::default(),
            standing: Standing::default(),
        })
    }

    /// The name under which it was loaded.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The identity of its component, in hexadecimal digits.
    pub fn digest(&self) -> String {
        self.digest.to_string()
    }

    /// The bytes of memory that each of its instances may take.
    pub fn memory(&self) -> usize {
        self.blueprint.memory
    }

    /// The approach's own words about itself; empty if it exports no `meta`.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Its faults, and whether it is left alone for a while because of them.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Asks it whether it accepts a configuration, in an instance of its own; verdicts are remembered. One without `meta`
    /// accepts any.
    ///
    /// # Errors
    ///
    /// The sentence of the approach, or one that says how it broke over the configuration.
    pub async fn check(&self, config: &str) -> Result<(), String> {
        let digest = *Digest::of([config.as_bytes()]).bytes();
        let known = self.checked.lock().get(&digest).cloned();
        if let Some(known) = known {
            return known;
        }
        match self.blueprint.ask("check", Check(config)).await {
            Ok(verdict) => {
                let verdict = verdict.unwrap_or(Ok(())).map_err(|text| one_line(&text));
                let mut checked = self.checked.lock();
                if checked.len() >= CHECKED {
                    checked.clear();
                }
                checked.insert(digest, verdict.clone());
                verdict
            }
            // Not remembered: the machine may have been the cause.
            Err(error) => Err(error.to_string()),
        }
    }

    /// The same check as [`Approach::check`], for a caller outside of a runtime: it must not run on a Tokio worker that has
    /// other work.
    ///
    /// # Errors
    ///
    /// Those of [`Approach::check`].
    pub fn check_now(&self, config: &str) -> Result<(), String> {
        blocking(self.check(config)).unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Begins a run. The guest does nothing before the session is polled.
    pub fn start(&self, request: Request, desk: Arc<dyn Desk>, setting: Setting) -> Session {
        session::start(&self.blueprint, request, desk, setting)
    }
}

/// Runs a guest to its end on a thread of its own, since the calling thread may belong to a runtime.
fn blocking<T: Send>(future: impl Future<Output = T> + Send) -> Result<T, LoadError> {
    let failed = |why: &dyn std::fmt::Display| LoadError::Engine(format!("a guest cannot be asked what it is: {why}"));
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.map(|runtime| runtime.block_on(future)).map_err(|error| failed(&error))
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("approach-meta".to_owned()).spawn_scoped(scope, run);
        let thread = thread.map_err(|error| failed(&error))?;
        thread.join().unwrap_or_else(|_| Err(failed(&"its thread panicked")))
    })
}

/// Checks that it is an approach of a version that this host speaks; true when it exports `meta`.
fn check_exports(component: &Component) -> Result<bool, LoadError> {
    let exports: Vec<String> =
        component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect();
    spoken(&exports)?;
    Ok(exports.iter().any(|name| is_ours(name, "meta")))
}

/// The version of the contract that a component with these exports speaks, such as `0.1.x`.
///
/// # Errors
///
/// When it is no approach, or speaks another version than this host.
pub fn spoken(exports: &[String]) -> Result<String, LoadError> {
    let spoken = format!("{VERSION}x");
    if exports.iter().any(|name| is_ours(name, "runner")) {
        return Ok(spoken);
    }
    let wanted = GuestKind::Approach;
    let other = exports.iter().find_map(|name| name.strip_prefix(PACKAGE)?.strip_prefix("runner"));
    Err(match (other, GuestKind::of(exports)) {
        (Some(version), _) => {
            let number = version.trim_start_matches('@');
            let found = if number.is_empty() { "without a number".to_owned() } else { one_line(number) };
            LoadError::Version { wanted, found, spoken }
        }
        (None, Some(found)) => LoadError::OtherKind { found, wanted },
        (None, None) => LoadError::NotAGuest { wanted, exports: exports.to_vec() },
    })
}

/// True when approaches may import this interface: it is of the contract or a linked part of WASI.
pub fn is_granted(import: &str) -> bool {
    const OURS: [&str; 4] = ["types", "llm", "client", "host-log"];
    OURS.iter().any(|interface| is_ours(import, interface)) || wasi::is_linked(import)
}

/// Checks that everything it imports is granted.
fn check_imports(component: &Component) -> Result<(), LoadError> {
    let mut forbidden = Vec::new();
    for (name, import) in component.component_type().imports(component.engine()) {
        let is_interface = matches!(import.ty, ComponentItem::ComponentInstance(_));
        if !(is_interface && is_granted(name)) {
            forbidden.push(name.to_owned());
        }
    }
    if forbidden.is_empty() {
        return Ok(());
    }
    Err(LoadError::Forbidden { wanted: GuestKind::Approach, imports: forbidden })
}

/// As logs can show it.
fn on_one_line(info: meta::Info) -> Info {
    let meta::Info { name, version, description, options, many, tools } = info;
    let options = options.iter().map(|option| (one_line(&option.name), one_line(&option.about))).collect();
    Info {
        name: one_line(&name),
        version: one_line(&version),
        description: one_line(&description),
        options,
        many,
        tools,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component that imports an empty interface of this name.
    fn importing(name: &str) -> Component {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).expect("short");
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        // A section of types with one empty instance type, then one of imports.
        bytes.extend([7, 3, 1, 0x42, 0]);
        let import = [&[1, 0, length(name.as_bytes())], name.as_bytes(), &[5, 0]].concat();
        bytes.extend([10, length(&import)]);
        bytes.extend(import);
        let engine = Engine::shared().expect("an engine");
        Component::from_binary(engine.wasm(), &bytes).expect("valid")
    }

    #[test]
    fn what_is_not_granted_is_named() {
        for granted in ["wasi:io/poll@0.2.6", "wasi:filesystem/types@0.2.0", "pointsman:approach/llm@0.1.0"] {
            assert!(check_imports(&importing(granted)).is_ok(), "{granted}");
        }
        for other in ["wasi:sockets/tcp@0.2.0", "wasi:http/types@0.2.0", "pointsman:approach/llm@0.2.0", "a:b/c@1.0.0"]
        {
            let error = check_imports(&importing(other)).expect_err("forbidden");
            assert_eq!(error.to_string(), format!("imports what approaches do not have: `{other}`"));
        }
        let error = check_imports(&importing("wasi:sockets/tcp@0.2.0")).expect_err("forbidden");
        assert!(error.remedy().starts_with("approaches have no access to the network"), "{}", error.remedy());
    }
}

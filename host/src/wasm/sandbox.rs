//! The sandbox of a guest: a version of WASI 0.2 without any effect on the outside.
//!
//! A guest compiled for `wasm32-wasip2` imports WASI even when it never uses it, so the imports cannot be refused.
//! Harmless functions answer as on an empty machine: no arguments, no environment, no files, closed input, output that
//! becomes log lines, a clock that stands at the request's `now-ms`, and random numbers that follow from its `entropy`.
//! All other functions of those interfaces trap with their name. Sockets and HTTP do not exist at all.
//!
//! It is written by hand because the `wasmtime-wasi` crate blocks on a Tokio runtime within a call, so a guest that
//! prints the message of a panic would crash the Tokio worker that called it. Nothing here blocks.
//!
//! It is made for each component from its imports, under exactly the versions that it asks for.

use std::mem;

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, WasmList,
};

use super::dice::Dice;
use super::limits::MemoryLimits;
use super::output::Output;
use super::overtime::Overtime;

/// The packages whose interfaces are provided without effect.
const INERT: [&str; 5] = ["wasi:cli", "wasi:io", "wasi:clocks", "wasi:random", "wasi:filesystem"];

/// The most bytes of one write, as `check-write` tells the guest.
const WRITE_BYTES: u64 = 4096;

/// The most random bytes that a guest may ask for at once.
const RANDOM_BYTES: u64 = 64 << 10;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// The type of every resource: streams, pollables, descriptors. Only streams exist, told apart by their number.
pub struct Handle;

/// `wasi:clocks/wall-clock.datetime`.
#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Datetime {
    pub seconds: u64,
    pub nanoseconds: u32,
}

/// `wasi:io/streams.stream-error`.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
pub enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<Handle>),
    #[component(name = "closed")]
    Closed,
}

/// The host's side of one instance.
#[derive(Default)]
pub struct Sandbox {
    /// The limits on its memory.
    pub limits: MemoryLimits,
    /// Its output.
    pub output: Output,
    /// The extra time that the call has had beyond its deadline.
    pub overtime: Overtime,
    now_ms: u64,
    dice: Dice,
}

/// A guest called a function that its sandbox does not have.
#[derive(Debug, thiserror::Error)]
#[error("called `{0}`, which strategies do not have")]
pub struct Denied(String);

impl Sandbox {
    /// Sets clock and randomness for the next call: both follow from the request alone.
    pub fn begin(&mut self, now_ms: u64, entropy: u32) {
        self.now_ms = now_ms;
        self.dice = Dice::of(u64::from(entropy));
    }

    fn random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > RANDOM_BYTES {
            return Err(Denied(format!("get-random-bytes({len})")).into());
        }
        Ok(self.dice.bytes(usize::try_from(len)?))
    }
}

/// Takes a guest's output. Reads it in place, in the guest's memory, because most of a flood is not kept.
fn write(mut store: StoreContextMut<'_, Sandbox>, stream: &Resource<Handle>, bytes: &WasmList<u8>) {
    let mut output = mem::take(&mut store.data_mut().output);
    match stream.rep() {
        STDERR => output.stderr(bytes.as_le_slice(&store)),
        _ => output.stdout(bytes.as_le_slice(&store)),
    }
    store.data_mut().output = output;
}

/// True when the import of this name is one of WASI's that the sandbox provides.
pub fn is_inert(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    let Some((package, _)) = interface.split_once('/') else { return false };
    INERT.contains(&package) && version.starts_with("0.2.")
}

/// Links the WASI imports of `component`.
pub fn link(linker: &mut Linker<Sandbox>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine();
    for (name, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        if !is_inert(name) {
            continue;
        }
        let path = name.split('@').next().unwrap_or(name);
        let mut instance = linker.instance(name)?;
        for (item, export) in interface.exports(engine) {
            match export.ty {
                ComponentItem::Resource(_) => {
                    instance.resource(item, ResourceType::host::<Handle>(), |_, _| Ok(()))?;
                }
                ComponentItem::ComponentFunc(_) => define(&mut instance, path, item)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Defines one function; those not named here trap when called.
fn define(instance: &mut LinkerInstance<'_, Sandbox>, interface: &str, function: &str) -> wasmtime::Result<()> {
    type Stream = Resource<Handle>;
    type Streamed<T> = (Result<T, StreamError>,);
    match (interface, function) {
        ("wasi:cli/environment", "get-environment") => {
            instance.func_wrap(function, |_, ()| Ok((Vec::<(String, String)>::new(),)))
        }
        ("wasi:cli/environment", "get-arguments") => instance.func_wrap(function, |_, ()| Ok((Vec::<String>::new(),))),
        ("wasi:cli/environment", "initial-cwd") => instance.func_wrap(function, |_, ()| Ok((None::<String>,))),
        ("wasi:cli/stdin", "get-stdin") => instance.func_wrap(function, |_, ()| Ok((Stream::new_own(0),))),
        ("wasi:cli/stdout", "get-stdout") => instance.func_wrap(function, |_, ()| Ok((Stream::new_own(STDOUT),))),
        ("wasi:cli/stderr", "get-stderr") => instance.func_wrap(function, |_, ()| Ok((Stream::new_own(STDERR),))),
        ("wasi:cli/terminal-stdin" | "wasi:cli/terminal-stdout" | "wasi:cli/terminal-stderr", _) => {
            instance.func_wrap(function, |_, ()| Ok((None::<Stream>,)))
        }
        ("wasi:io/streams", "[method]input-stream.read" | "[method]input-stream.blocking-read") => instance
            .func_wrap(function, |_, (_, _): (Stream, u64)| -> wasmtime::Result<Streamed<Vec<u8>>> {
                Ok((Err(StreamError::Closed),))
            }),
        ("wasi:io/streams", "[method]output-stream.check-write") => instance
            .func_wrap(function, |_, (_,): (Stream,)| -> wasmtime::Result<Streamed<u64>> { Ok((Ok(WRITE_BYTES),)) }),
        ("wasi:io/streams", "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush") => {
            instance.func_wrap(
                function,
                |store, (stream, bytes): (Stream, WasmList<u8>)| -> wasmtime::Result<Streamed<()>> {
                    write(store, &stream, &bytes);
                    Ok((Ok(()),))
                },
            )
        }
        ("wasi:io/streams", "[method]output-stream.flush" | "[method]output-stream.blocking-flush") => {
            instance.func_wrap(function, |_, (_,): (Stream,)| -> wasmtime::Result<Streamed<()>> { Ok((Ok(()),)) })
        }
        ("wasi:io/streams", "[method]input-stream.subscribe" | "[method]output-stream.subscribe") => {
            instance.func_wrap(function, |_, (_,): (Stream,)| Ok((Stream::new_own(0),)))
        }
        ("wasi:io/poll", "[method]pollable.ready") => instance.func_wrap(function, |_, (_,): (Stream,)| Ok((true,))),
        // `block` and `poll` trap, because a strategy has no time to sleep.
        ("wasi:clocks/monotonic-clock", "subscribe-instant" | "subscribe-duration") => {
            instance.func_wrap(function, |_, (_,): (u64,)| Ok((Stream::new_own(0),)))
        }
        ("wasi:clocks/monotonic-clock", "now") => {
            instance.func_wrap(function, |store, ()| Ok((store.data().now_ms.saturating_mul(1_000_000),)))
        }
        ("wasi:clocks/monotonic-clock", "resolution") => instance.func_wrap(function, |_, ()| Ok((1_000_000_u64,))),
        ("wasi:clocks/wall-clock", "now") => instance.func_wrap(function, |store, ()| {
            let now = std::time::Duration::from_millis(store.data().now_ms);
            Ok((Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() },))
        }),
        ("wasi:clocks/wall-clock", "resolution") => {
            instance.func_wrap(function, |_, ()| Ok((Datetime { seconds: 0, nanoseconds: 1_000_000 },)))
        }
        ("wasi:random/random", "get-random-bytes") | ("wasi:random/insecure", "get-insecure-random-bytes") => {
            instance.func_wrap(function, |mut store, (len,): (u64,)| Ok((store.data_mut().random_bytes(len)?,)))
        }
        ("wasi:random/random", "get-random-u64") | ("wasi:random/insecure", "get-insecure-random-u64") => {
            instance.func_wrap(function, |mut store, ()| Ok((store.data_mut().dice.roll(),)))
        }
        // The same for every instance, so that decisions that depend on a hash map's order can be replayed.
        ("wasi:random/insecure-seed", "insecure-seed") => {
            instance.func_wrap(function, |_, ()| Ok(((0x706f_696e_7473_6d61_u64, 0x6e5f_7374_7261_7465_u64),)))
        }
        ("wasi:filesystem/preopens", "get-directories") => {
            instance.func_wrap(function, |_, ()| Ok((Vec::<(Stream, String)>::new(),)))
        }
        _ => {
            let name = format!("{interface}#{function}");
            instance.func_new(function, move |_, _, _, _| Err(Denied(name.clone()).into()))
        }
    }
}

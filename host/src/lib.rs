//! Pointsman: an OpenAI-compatible proxy that sets the points for LLM requests.
//!
//! A map, in the order in which a request meets the modules:
//!
//! | module | is |
//! | --- | --- |
//! | [`cli`], [`app`] | from arguments to a running server; `app::assemble` makes all that a configuration needs |
//! | [`config`] | what the user wrote, checked as a whole; plain data that every module may read |
//! | [`listener`], [`drain`] | connections: accepted, served, let go without loss |
//! | [`proxy`] | a request: its body read and spliced, dispatched, answered; [`proxy::dispatch`] is THE loop |
//! | [`patience`], [`memory`] | deadlines that forgive a pause of the process; how much memory there is for bodies |
//! | [`queue`], [`slots`] | at most so many requests in flight, the others first come first served |
//! | [`routing`] | PURE: routes, targets, candidates, decisions, outcomes, tiers; the trait of a strategy |
//! | [`wasm`], [`strategy`] | the host of WebAssembly guests, and of those that are strategies; the only ones that name wasmtime |
//! | [`provider`] | who can be called and how they are: client, permits, health; one snapshot behind one `ArcSwap` |
//! | [`observe`], [`metrics`], [`telemetry`] | the story of a request and who reads it: the log, Prometheus |
//! | [`workbench`] | for authors of strategies: examine, test, replay, and simulate with a virtual clock and played providers |
//! | [`admin`] | `/health`, `/ready`, `/metrics`, `/admin/reload`, `/admin/shadow` |
//! | [`notify`] | the service manager (systemd): told when the server is ready, reloads and ends |
//! | [`certificates`] | PEM files, as both ends of TLS read them |
//! | [`html`] | what the pages of [`admin`] and [`workbench::simulate`] share |
//! | [`demo`] | the whole thing with providers of its own, for a first look |
//!
//! Dependencies point one way. `house.rs` lists for each module which others it may know, and is a test of that;
//! ARCHITECTURE.md draws it, and has what stands below each module.

pub mod admin;
pub mod app;
pub mod certificates;
pub mod cli;
pub mod config;
pub mod demo;
pub mod drain;
#[cfg(test)]
mod house;
pub mod html;
pub mod listener;
pub mod memory;
pub mod metrics;
pub mod notify;
pub mod observe;
pub mod patience;
pub mod provider;
pub mod proxy;
pub mod queue;
pub mod routing;
pub mod slots;
pub mod strategy;
pub mod telemetry;
pub mod wasm;
pub mod workbench;

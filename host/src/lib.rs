//! Pointsman: an OpenAI-compatible proxy that sets the points for LLM requests.
//!
//! A map, in the order in which a request meets the modules:
//!
//! | module | is |
//! | --- | --- |
//! | [`cli`], [`app`] | from arguments to a running server; `app::assemble` makes all that a configuration needs |
//! | [`config`] | the user's configuration, checked as a whole; plain data that every module may read |
//! | [`listener`], [`drain`] | connections: accepting, serving, and ending them without loss |
//! | [`proxy`] | a request: its body read and spliced, dispatched, answered; [`proxy::dispatch`] is THE loop |
//! | [`patience`], [`memory`] | deadlines that tolerate a pause of the process; the memory that bodies may use |
//! | [`queue`], [`slots`] | limits on requests in flight; requests that wait are served first come, first served |
//! | [`clients`] | who asks: keys, and where those made at run time are kept |
//! | [`limits`] | PURE: rates, budgets, reservations, usage and prices |
//! | [`state`] | the engines that keep limits and keys: a file, or Valkey; only they name redb and redis |
//! | [`routing`] | PURE: routes, targets, candidates, decisions, outcomes, tiers; the trait of a strategy |
//! | [`wasm`], [`strategy`] | the host of WebAssembly guests, and of strategies |
//! | [`approach`] | the host of approaches, which ask the model more than once; only these three name wasmtime |
//! | [`provider`] | the providers and their health: client, permits, ejection; one snapshot behind one `ArcSwap` |
//! | [`observe`], [`metrics`], [`telemetry`] | the story of a request and its readers: the log, Prometheus |
//! | [`workbench`] | for authors of strategies: examine, test, replay, and simulate on a virtual clock |
//! | [`admin`] | `/health`, `/ready`, `/metrics`, `/admin/reload`, `/admin/shadow`, `/admin/spend`, and the dashboard at `/admin` |
//! | [`notify`] | messages to the service manager (systemd) when the server is ready, reloads and ends |
//! | [`certificates`] | certificates and keys from PEM files |
//! | [`http1`] | HTTP/1.1 on the wire: heads, how bodies end, chunks; for [`listener`] and [`provider`] alike |
//! | [`html`] | escaping and charts for the pages of [`admin`], [`cli`] and [`workbench::simulate`] |
//! | [`demo`] | the proxy with embedded providers, for a first look |
//!
//! Dependencies point one way. The tests in `house.rs` list which modules each module may import; ARCHITECTURE.md draws
//! the picture and describes the submodules.

// A file of the tests is a part of a fuzz target as well, for which this is another crate.
#[cfg(test)]
extern crate self as pointsman;

pub mod admin;
pub mod app;
pub mod approach;
pub mod certificates;
pub mod cli;
pub mod clients;
pub mod config;
pub mod demo;
pub mod drain;
#[cfg(test)]
mod house;
pub mod html;
pub mod http1;
pub mod images;
pub mod limits;
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
pub mod state;
pub mod strategy;
pub mod telemetry;
pub mod wasm;
pub mod workbench;

//! The whole proxy over real sockets, before providers that misbehave as a test says.
//!
//! One module per topic; within a module a test's name is a claim of `BEHAVIOUR.md`.

mod access;
mod affinity;
mod approaches;
mod azure;
mod bad_input;
mod bodies;
mod cancellation;
mod checks;
mod connections;
mod cut_streams;
mod door;
mod ejection;
mod endings;
mod endings_of_streams;
mod faults;
mod headers;
mod held_answers;
mod limits;
mod metrics;
mod models;
mod no_answers;
mod outcomes;
mod own_errors;
mod pages;
mod paths;
mod queue;
mod reload;
mod retries;
mod rotation;
mod settings;
mod shadow;
mod shutdown;
mod simulated;
mod spec_examples;
mod stored;
mod strategies;
mod streaming;
mod throttling;
mod tiers;
mod timeouts;
mod tls;
mod unlabelled;
mod waiting_for_streams;
mod words;

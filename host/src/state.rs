//! The engines that keep limits, spend and the keys made at run time: a file on one machine, or a server for a fleet.

pub mod keeper;
pub mod local;
pub mod valkey;

//! What tests share: fakes that stand at the socket and nowhere else. Never part of the program.

pub mod agent;
pub mod db;
pub mod peer;
pub mod sink;

//! Conversations with the real `claude`, each with what a reader must be told of it.
//!
//! A name such as `t13d_…` is that of the recorded transcript that is played again. Every scenario
//! goes through [`play::Play`], which checks what holds for all of them.

mod api_errors;
mod background;
mod broken_streams;
mod commands;
mod content;
mod function_sets;
mod functions;
mod interrupts;
mod limits;
mod outputs;
mod permissions;
mod play;
mod queueing;
#[path = "../../../../protocol/tests/it/short.rs"]
mod short;
mod text;
mod tools;
mod transcript;

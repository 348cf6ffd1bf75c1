//! Conversations in a pool of real wrappers with the real `claude`; only the model is a stand-in.

mod broken;
mod continued;
mod example;
mod functions;
mod named;
mod room;
mod stage;

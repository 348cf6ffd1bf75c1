//! Conversations in a pool of real wrappers with the real `claude`; only the model is a stand-in.

mod asides;
mod broken;
mod continued;
mod example;
mod functions;
mod named;
mod returns;
mod room;
mod stage;

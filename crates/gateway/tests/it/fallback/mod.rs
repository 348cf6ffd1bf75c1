//! A gateway with three providers: who answers when one cannot, as a client of the OpenAI API meets
//! it. Each provider has a model of its own, which tells whether it was asked.

mod away;
mod breaker;
mod broken_off;
mod docker;
mod history;
mod refused;
mod trio;

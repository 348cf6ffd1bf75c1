mod body;
mod channel;
mod channels;
mod post;
mod retry;
mod send;
mod signature;

pub use channel::{Channel, Message};
pub use channels::Channels;
pub use send::SendMessage;

//! A shell in the place of `claude`: what it is told, what it says, how it ends.

mod ending;
mod shell;
mod talking;

//! The configuration as a person meets it: whole files, the environment, flags, and what is
//! said about everything that is wrong.

mod channels;
mod files;
mod forms;
mod nodes;
mod noise;
mod place;
mod problems;
mod sources;

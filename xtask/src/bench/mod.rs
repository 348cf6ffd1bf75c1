mod command;

pub(crate) use command::{BenchArguments, run};

mod arguments;
mod embedding;

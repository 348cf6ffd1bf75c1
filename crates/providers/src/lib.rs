//! Providers beside the pool, and the chain that goes from one to the next.

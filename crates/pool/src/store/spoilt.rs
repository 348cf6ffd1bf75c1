//! Reading keys that containers may write: one that has made something else of a key of its own is
//! the only one to suffer.

use redis::aio::ConnectionManager;
use redis::{Cmd, FromRedisValue};

use super::StoreError;

/// The answers to these commands, in their order, with `instead` where a key does not hold what it
/// must. One round trip, as long as none is spoilt.
pub(super) async fn each<T: FromRedisValue + Clone>(
    mut connection: ConnectionManager,
    commands: Vec<Cmd>,
    instead: T,
) -> Result<Vec<T>, StoreError> {
    if commands.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipe = redis::pipe();
    for command in &commands {
        pipe.add_command(command.clone());
    }
    let all: Result<Vec<T>, _> = pipe.query_async(&mut connection).await;
    match all.map_err(StoreError::from) {
        Err(StoreError::Broken(_)) => {}
        all => return all,
    }
    let mut answers = Vec::with_capacity(commands.len());
    for command in commands {
        let answer: Result<T, _> = command.query_async(&mut connection).await;
        answers.push(match answer.map_err(StoreError::from) {
            Err(StoreError::Broken(_)) => instead.clone(),
            answer => answer?,
        });
    }
    Ok(answers)
}

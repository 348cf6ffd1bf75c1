//! How long Redis takes, by command.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Instant;

use redis::aio::ConnectionLike;
use redis::{Arg, Cmd, Pipeline, RedisFuture, Script, Value};

/// A connection whose commands are timed: `ccpool_redis_seconds`, by `op` and `outcome`.
///
/// The `op` is the script's name, the command's, or `pipeline` for several together. A command that
/// is given up counts for nothing.
#[derive(Debug, Clone)]
pub(super) struct Measured<C>(C);

impl<C> Measured<C> {
    pub(super) fn new(connection: C) -> Self {
        Self(connection)
    }
}

/// The scripts that are called by their hash.
const SCRIPTS: [(&str, &str); 23] = [
    ("adopt", include_str!("../../lua/adopt.lua")),
    ("attend", include_str!("../../lua/attend.lua")),
    ("await", include_str!("../../lua/await.lua")),
    ("claim", include_str!("../../lua/claim.lua")),
    ("conclude", include_str!("../../lua/conclude.lua")),
    ("deliver", include_str!("../../lua/deliver.lua")),
    ("draw", include_str!("../../lua/draw.lua")),
    ("job_add", include_str!("../../lua/job_add.lua")),
    ("job_finish", include_str!("../../lua/job_finish.lua")),
    ("job_give_back", include_str!("../../lua/job_give_back.lua")),
    ("job_remove", include_str!("../../lua/job_remove.lua")),
    ("job_take", include_str!("../../lua/job_take.lua")),
    ("note", include_str!("../../lua/note.lua")),
    ("promote", include_str!("../../lua/promote.lua")),
    ("push", include_str!("../../lua/push.lua")),
    ("read", include_str!("../../lua/read.lua")),
    ("release", include_str!("../../lua/release.lua")),
    ("reserve", include_str!("../../lua/reserve.lua")),
    ("restore", include_str!("../../lua/restore.lua")),
    ("retire", include_str!("../../lua/retire.lua")),
    ("say", include_str!("../../lua/say.lua")),
    ("waiting", include_str!("../../lua/waiting.lua")),
    ("withdraw", include_str!("../../lua/withdraw.lua")),
];

/// The commands that are told apart; what is used beyond them is `other`, so that there are never
/// more labels than these.
const COMMANDS: [&str; 19] = [
    "acl", "eval", "exists", "get", "hget", "hgetall", "hmget", "hset", "llen", "lrange", "ping",
    "psetex", "publish", "script", "set", "setnx", "smembers", "zrange", "zrem",
];

fn op(command: &Cmd) -> &'static str {
    static BY_HASH: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
        let hashed =
            |(name, text): (&'static str, &str)| (Script::new(text).get_hash().to_owned(), name);
        SCRIPTS.into_iter().map(hashed).collect()
    });
    let mut arguments = command.args_iter().map(|argument| match argument {
        Arg::Simple(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        _ => "",
    });
    let name = arguments.next().unwrap_or_default();
    if name.eq_ignore_ascii_case("EVALSHA") {
        let hash = arguments.next().unwrap_or_default();
        return BY_HASH.get(hash).copied().unwrap_or("evalsha");
    }
    let known = COMMANDS.into_iter();
    let mut known = known.filter(|known| known.eq_ignore_ascii_case(name));
    known.next().unwrap_or("other")
}

fn record(op: &'static str, asked: Instant, is_ok: bool) {
    let outcome = if is_ok { "ok" } else { "error" };
    metrics::histogram!("ccpool_redis_seconds", "op" => op, "outcome" => outcome)
        .record(asked.elapsed().as_secs_f64());
}

impl<C: ConnectionLike + Send> ConnectionLike for Measured<C> {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let asked = Instant::now();
            let answer = self.0.req_packed_command(cmd).await;
            record(op(cmd), asked, answer.is_ok());
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let asked = Instant::now();
            let answer = self.0.req_packed_commands(cmd, offset, count).await;
            record("pipeline", asked, answer.is_ok());
            answer
        })
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_their_names() {
        assert_eq!(op(&redis::cmd("PING")), "ping");
        assert_eq!(op(Cmd::hgetall("secret").arg("hgetall")), "hgetall");
        assert_eq!(op(&redis::cmd("FLUSHALL")), "other");
        let claim = Script::new(include_str!("../../lua/claim.lua"));
        assert_eq!(op(redis::cmd("EVALSHA").arg(claim.get_hash())), "claim");
        assert_eq!(op(redis::cmd("EVALSHA").arg("0123")), "evalsha");
    }

    #[test]
    fn every_script_has_a_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/lua");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let is_named = SCRIPTS.iter().any(|(known, _)| *known == name);
            assert!(is_named, "{name} is not in SCRIPTS");
        }
    }
}

//! Where conversations rest: each record is one taker's.

use std::time::Duration;

use async_trait::async_trait;
use ccpool::store::{Conversations, FakeConversations, Whereabouts};
use futures::future::join_all;
use redis::AsyncCommands;

use super::subject::Server;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// What is tested, and time that passes for it.
#[async_trait]
trait Subject: Sync {
    fn all(&self) -> &dyn Conversations;
    async fn pass(&self, by: Duration);
}

#[async_trait]
impl Subject for FakeConversations {
    fn all(&self) -> &dyn Conversations {
        self
    }

    async fn pass(&self, by: Duration) {
        self.advance(by);
    }
}

struct InRedis {
    server: Server,
    all: ccpool::store::RedisConversations,
}

#[async_trait]
impl Subject for InRedis {
    fn all(&self) -> &dyn Conversations {
        &self.all
    }

    /// Redis' clock cannot be moved, so everything is made older.
    async fn pass(&self, by: Duration) {
        let mut connection = self.server.connection.clone();
        let pattern = format!("{}pool:conversation:*", self.server.keys.prefix());
        let keys: Vec<String> = connection.keys(pattern).await.unwrap();
        let by = i64::try_from(by.as_millis()).unwrap();
        for key in keys {
            let left: i64 = connection.pttl(&key).await.unwrap();
            assert!(left > 0, "{key} is kept for ever");
            let () = connection.pexpire(&key, left - by).await.unwrap();
        }
    }
}

macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&super::FakeConversations::default()).await;
            })*
        }
        mod in_redis {
            $(#[tokio::test]
            async fn $case() {
                let server = super::Server::new().await;
                let all = server.conversations();
                super::$case(&super::InRedis { server, all }).await;
            })*
        }
    };
}
on_both!(
    what_is_written_down_is_taken_once,
    who_only_looks_leaves_it_there,
    names_and_fingerprints_do_not_meet,
    who_writes_over_a_record_is_given_it,
    a_record_can_be_left_as_it_is,
    a_record_has_its_time,
    many_takers_get_a_record_once,
    those_that_give_way_are_told_the_oldest_first,
);

fn said(hash: &str) -> Whereabouts {
    Whereabouts::Said(hash.to_owned())
}

fn named(hash: &str) -> Whereabouts {
    Whereabouts::Named(hash.to_owned())
}

async fn rest(subject: &impl Subject, at: &Whereabouts, record: &str) -> Option<String> {
    subject.all().rest(at, record, HOUR, true).await.unwrap()
}

async fn take(subject: &impl Subject, at: &Whereabouts) -> Option<String> {
    subject.all().take(at).await.unwrap()
}

async fn what_is_written_down_is_taken_once(subject: &impl Subject) {
    assert_eq!(take(subject, &said("a")).await, None);
    assert_eq!(rest(subject, &said("a"), "{\"x\":\"é\"}").await, None);
    assert_eq!(take(subject, &said("b")).await, None);
    let taken = take(subject, &said("a")).await;
    assert_eq!(taken.as_deref(), Some("{\"x\":\"é\"}"));
    assert_eq!(take(subject, &said("a")).await, None);
}

async fn who_only_looks_leaves_it_there(subject: &impl Subject) {
    let look = async || subject.all().look(&named("a")).await.unwrap();
    assert_eq!(look().await, None);
    rest(subject, &named("a"), "1").await;
    assert_eq!(look().await.as_deref(), Some("1"));
    assert_eq!(look().await.as_deref(), Some("1"));
    assert_eq!(take(subject, &named("a")).await.as_deref(), Some("1"));
    assert_eq!(look().await, None);
}

async fn names_and_fingerprints_do_not_meet(subject: &impl Subject) {
    rest(subject, &said("a"), "1").await;
    rest(subject, &named("a"), "2").await;
    assert_eq!(take(subject, &named("a")).await.as_deref(), Some("2"));
    assert_eq!(take(subject, &said("a")).await.as_deref(), Some("1"));
}

async fn who_writes_over_a_record_is_given_it(subject: &impl Subject) {
    rest(subject, &said("a"), "1").await;
    let before = rest(subject, &said("a"), "2").await;
    assert_eq!(before.as_deref(), Some("1"));
    assert_eq!(take(subject, &said("a")).await.as_deref(), Some("2"));
}

async fn a_record_can_be_left_as_it_is(subject: &impl Subject) {
    let at = named("a");
    let unless = async |record: &str| subject.all().rest_if_none(&at, record, HOUR).await.unwrap();
    assert!(unless("1").await);
    assert!(!unless("2").await);
    assert_eq!(take(subject, &at).await.as_deref(), Some("1"));
    assert!(unless("3").await);
}

async fn a_record_has_its_time(subject: &impl Subject) {
    rest(subject, &said("a"), "1").await;
    let written = subject.all().rest_if_none(&said("b"), "2", HOUR).await;
    assert!(written.unwrap());
    subject.pass(HOUR - MINUTE).await;
    assert_eq!(take(subject, &said("a")).await.as_deref(), Some("1"));
    rest(subject, &said("a"), "3").await;
    subject.pass(2 * MINUTE).await;
    assert_eq!(take(subject, &said("b")).await, None);
    assert_eq!(take(subject, &said("a")).await.as_deref(), Some("3"));
}

async fn those_that_give_way_are_told_the_oldest_first(subject: &impl Subject) {
    let all = subject.all();
    let told = async |most| -> Vec<String> {
        let told = all.yielding(most).await.unwrap();
        told.into_iter().map(|(_, record)| record).collect()
    };
    assert!(told(9).await.is_empty());
    let write = async |name: &str, minutes: u32, yields| {
        let written = all.rest(&said(name), name, MINUTE * minutes, yields).await;
        written.unwrap();
    };
    write("second", 20, true).await;
    write("first", 10, true).await;
    write("stays", 5, false).await;
    let third = named("third");
    let written = all.rest_if_none(&third, "third", MINUTE * 30).await;
    assert!(written.unwrap());
    assert_eq!(told(9).await, ["first", "second", "third"]);
    assert_eq!(told(2).await, ["first", "second"]);
    // What was told can be taken by its name, once.
    let (at, _) = all.yielding(1).await.unwrap().remove(0);
    assert_eq!(take(subject, &at).await.as_deref(), Some("first"));
    assert_eq!(told(9).await, ["second", "third"]);
    subject.pass(MINUTE * 25).await;
    assert_eq!(told(9).await, ["third"]);
    // It has something else to wait for.
    let before = all.rest(&third, "busy", HOUR, false).await.unwrap();
    assert_eq!(before.as_deref(), Some("third"));
    assert!(told(9).await.is_empty());
}

async fn many_takers_get_a_record_once(subject: &impl Subject) {
    for round in 0..20 {
        let at = said(&round.to_string());
        rest(subject, &at, "1").await;
        let taken = join_all((0..8).map(|_| take(subject, &at))).await;
        assert_eq!(taken.iter().flatten().count(), 1, "{taken:?}");
    }
}

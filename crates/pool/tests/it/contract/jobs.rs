//! What agents want done at set times: each run is one gateway's.

use std::collections::BTreeSet;
use std::time::Duration;

use ccpool::store::{
    Added, Finished, Job, JobId, JobState, Jobs, LastRun, NewJob, RedisJobs, Run, Take, Taken,
};
use redis::AsyncCommands;
use tokio::task::JoinSet;

use super::subject::{Server, agent, gateway};
use crate::support::eventually;

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: u64 = 3_600_000;

/// A job of an agent's, due in an hour; when that is.
async fn add(jobs: &RedisJobs, number: u64, of: &str) -> (JobId, u64) {
    let job = NewJob {
        id: JobId::from_random(number),
        agent: agent(of),
        plan: format!("plan {number}"),
        due: jobs.now().await.unwrap() + HOUR_MS,
    };
    assert_eq!(jobs.add(&job, 99).await.unwrap(), Added::Added);
    (job.id, job.due)
}

/// Redis' clock cannot be moved, so everything is made older.
async fn pass(server: &Server, by: u64) {
    let mut connection = server.connection.clone();
    let due = server.keys.cron_due();
    let ids: Vec<String> = connection.zrange(&due, 0, -1).await.unwrap();
    let by = i64::try_from(by).unwrap();
    for id in ids {
        let () = connection.zincr(&due, &id, -by).await.unwrap();
        let key = server.keys.cron_job(&id);
        if connection.hexists(&key, "due").await.unwrap() {
            let () = connection.hincr(&key, "due", -by).await.unwrap();
        }
    }
}

async fn taken(jobs: &RedisJobs, lease: Duration) -> Taken {
    match jobs.take(lease).await.unwrap() {
        Take::Taken(taken) => *taken,
        Take::Nothing { wait } => panic!("nothing is due for {wait:?}"),
    }
}

async fn nothing(jobs: &RedisJobs) -> Option<Duration> {
    match jobs.take(HOUR).await.unwrap() {
        Take::Nothing { wait } => wait,
        Take::Taken(taken) => panic!("{taken:?}"),
    }
}

async fn only(jobs: &RedisJobs, of: &str) -> Job {
    let mut all = jobs.of_agent(&agent(of)).await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn finished(next: Option<u64>) -> Finished {
    Finished {
        fired: true,
        outcome: "ok".to_owned(),
        next,
        keep: HOUR,
    }
}

/// Keys of jobs that are left.
async fn left(server: &Server) -> Vec<String> {
    let pattern = format!("{}pool:cron:*", server.keys.prefix());
    server.connection.clone().keys(pattern).await.unwrap()
}

#[tokio::test]
async fn a_job_is_given_out_when_it_is_due_and_not_before() {
    let server = Server::new().await;
    let jobs = server.jobs(gateway(1));
    assert_eq!(nothing(&jobs).await, None);
    let (id, due) = add(&jobs, 1, "a").await;
    let wait = nothing(&jobs).await.unwrap();
    assert!(wait <= HOUR && wait > HOUR / 2, "{wait:?}");
    pass(&server, 2 * HOUR_MS).await;
    let given = taken(&jobs, HOUR).await;
    assert_eq!((&given.job.id, given.job.plan.as_str()), (&id, "plan 1"));
    let run = Run {
        due: due - 2 * HOUR_MS,
        attempt: 1,
    };
    assert_eq!((given.run, given.job.state), (run, JobState::Firing(run)));
    assert!(given.now > given.run.due);
    assert_eq!(only(&jobs, "a").await, given.job);
}

#[tokio::test]
async fn the_one_that_waits_for_longest_comes_first() {
    let server = Server::new().await;
    let jobs = server.jobs(gateway(1));
    let (second, _) = add(&jobs, 1, "a").await;
    pass(&server, 10_000).await;
    let (third, _) = add(&jobs, 2, "a").await;
    pass(&server, 2 * HOUR_MS).await;
    let (fourth, _) = add(&jobs, 3, "b").await;
    assert_eq!(taken(&jobs, HOUR).await.job.id, second);
    assert_eq!(taken(&jobs, HOUR).await.job.id, third);
    nothing(&jobs).await;
    pass(&server, HOUR_MS).await;
    // What was not finished has waited for longer, by now.
    let again: BTreeSet<JobId> = [
        taken(&jobs, HOUR).await.job.id,
        taken(&jobs, HOUR).await.job.id,
        taken(&jobs, HOUR).await.job.id,
    ]
    .into();
    assert_eq!(again, [second, third, fourth].into());
}

#[tokio::test]
async fn a_run_is_one_gateways_alone() {
    let server = Server::new().await;
    let (mine, other) = (server.jobs(gateway(1)), server.jobs(gateway(2)));
    add(&mine, 1, "a").await;
    pass(&server, 2 * HOUR_MS).await;
    let given = taken(&mine, HOUR).await;
    let wait = nothing(&other).await.unwrap();
    assert!(wait <= HOUR && wait > HOUR / 2, "{wait:?}");
    let next = given.now + HOUR_MS;
    assert!(
        mine.finish(&given.job.id, given.run, &finished(Some(next)))
            .await
            .unwrap()
    );
    nothing(&other).await;
    let job = only(&other, "a").await;
    assert_eq!((job.state, job.runs), (JobState::Waiting(next), 1));
    let last = LastRun {
        due: given.run.due,
        outcome: "ok".to_owned(),
    };
    assert_eq!(job.last, Some(last));
}

#[tokio::test]
async fn many_gateways_take_each_job_once() {
    let server = Server::new().await;
    let jobs = server.jobs(gateway(1));
    for number in 0..40 {
        add(&jobs, number, "a").await;
    }
    pass(&server, 2 * HOUR_MS).await;
    let mut gateways = JoinSet::new();
    for number in 0..4 {
        let jobs = server.jobs(gateway(number));
        gateways.spawn(async move {
            let mut mine = Vec::new();
            while let Take::Taken(taken) = jobs.take(HOUR).await.unwrap() {
                mine.push(taken.job.id);
            }
            mine
        });
    }
    let all: Vec<JobId> = gateways.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), 40);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 40);
}

#[tokio::test]
async fn what_a_gateway_did_not_finish_is_given_to_another_one() {
    let server = Server::new().await;
    let (dead, heir) = (server.jobs(gateway(1)), server.jobs(gateway(2)));
    add(&dead, 1, "a").await;
    pass(&server, 2 * HOUR_MS).await;
    let first = taken(&dead, Duration::from_millis(1)).await;
    let second = eventually("its time is over", async || {
        match heir.take(HOUR).await.unwrap() {
            Take::Taken(taken) => Some(taken),
            Take::Nothing { .. } => None,
        }
    })
    .await;
    // It is the same run: what was done for it is known by its name.
    assert_eq!(second.run.due, first.run.due);
    assert_eq!(second.run.attempt, 2);
    let id = &first.job.id;
    let how = finished(Some(5));
    assert!(!dead.finish(id, first.run, &how).await.unwrap());
    assert!(!dead.give_back(id, first.run).await.unwrap());
    assert_eq!(only(&heir, "a").await.state, JobState::Firing(second.run));
    let next = second.now + HOUR_MS;
    assert!(
        heir.finish(id, second.run, &finished(Some(next)))
            .await
            .unwrap()
    );
    pass(&server, 2 * HOUR_MS).await;
    assert_eq!(taken(&dead, HOUR).await.run.attempt, 1);
}

#[tokio::test]
async fn what_is_given_back_is_taken_at_once() {
    let server = Server::new().await;
    let (stops, heir) = (server.jobs(gateway(1)), server.jobs(gateway(2)));
    add(&stops, 1, "a").await;
    pass(&server, 2 * HOUR_MS).await;
    let first = taken(&stops, HOUR).await;
    assert!(stops.give_back(&first.job.id, first.run).await.unwrap());
    let second = taken(&heir, HOUR).await;
    assert_eq!(second.run.due, first.run.due);
    assert!(!stops.give_back(&first.job.id, first.run).await.unwrap());
}

#[tokio::test]
async fn what_was_left_out_is_no_run() {
    let server = Server::new().await;
    let jobs = server.jobs(gateway(1));
    add(&jobs, 1, "a").await;
    pass(&server, 2 * HOUR_MS).await;
    let given = taken(&jobs, HOUR).await;
    let how = Finished {
        fired: false,
        outcome: "missed".to_owned(),
        ..finished(Some(given.now + HOUR_MS))
    };
    assert!(jobs.finish(&given.job.id, given.run, &how).await.unwrap());
    let job = only(&jobs, "a").await;
    assert_eq!(job.runs, 0);
    assert_eq!(job.last.unwrap().outcome, "missed");
}

#[tokio::test]
async fn a_job_that_is_over_is_kept_for_a_while() {
    let server = Server::new().await;
    let jobs = server.jobs(gateway(1));
    add(&jobs, 1, "a").await;
    pass(&server, 2 * HOUR_MS).await;
    let given = taken(&jobs, HOUR).await;
    let over = finished(None);
    assert!(jobs.finish(&given.job.id, given.run, &over).await.unwrap());
    nothing(&jobs).await;
    let job = only(&jobs, "a").await;
    assert_eq!((job.state, job.runs), (JobState::Done, 1));
    pass(&server, 2 * HOUR_MS).await;
    assert_eq!(nothing(&jobs).await, None);
    assert_eq!(left(&server).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_agents_jobs_are_its_own_and_not_too_many() {
    let server = Server::new().await;
    let jobs = server.jobs(gateway(1));
    let (first, due) = add(&jobs, 9, "a").await;
    let (theirs, _) = add(&jobs, 5, "b").await;
    let mut last = NewJob {
        id: JobId::from_random(2),
        agent: agent("a"),
        plan: String::new(),
        due,
    };
    assert_eq!(jobs.add(&last, 1).await.unwrap(), Added::Full);
    assert_eq!(jobs.add(&last, 2).await.unwrap(), Added::Added);
    let mine = jobs.of_agent(&agent("a")).await.unwrap();
    let mine: BTreeSet<&JobId> = mine.iter().map(|job| &job.id).collect();
    assert_eq!(mine, [&first, &last.id].into());

    assert!(!jobs.remove(&agent("a"), &theirs).await.unwrap());
    assert_eq!(only(&jobs, "b").await.id, theirs);
    assert!(jobs.remove(&agent("a"), &first).await.unwrap());
    assert!(!jobs.remove(&agent("a"), &first).await.unwrap());
    last.id = JobId::from_random(3);
    assert_eq!(
        jobs.add(&last, 2).await.unwrap(),
        Added::Added,
        "it is free"
    );
}

#[tokio::test]
async fn a_job_that_is_over_makes_room() {
    let server = Server::new().await;
    let jobs = server.jobs(gateway(1));
    let mut over = Vec::new();
    for (number, keep) in [(1, 9 * HOUR), (2, 5 * HOUR)] {
        add(&jobs, number, "a").await;
        pass(&server, 2 * HOUR_MS).await;
        let given = taken(&jobs, HOUR).await;
        let how = Finished {
            keep,
            ..finished(None)
        };
        assert!(jobs.finish(&given.job.id, given.run, &how).await.unwrap());
        over.push(given.job.id);
    }
    let (live, due) = add(&jobs, 3, "a").await;
    let wish = |number| NewJob {
        id: JobId::from_random(number),
        agent: agent("a"),
        plan: String::new(),
        due,
    };
    let ids = async || {
        let all = jobs.of_agent(&agent("a")).await.unwrap();
        all.into_iter().map(|job| job.id).collect::<BTreeSet<_>>()
    };
    assert_eq!(jobs.add(&wish(4), 3).await.unwrap(), Added::Added);
    let kept = [over[0].clone(), live.clone(), wish(4).id].into();
    assert_eq!(ids().await, kept, "of two the one that would go first");
    assert_eq!(jobs.add(&wish(5), 3).await.unwrap(), Added::Added);
    assert_eq!(jobs.add(&wish(6), 3).await.unwrap(), Added::Full);
    assert_eq!(ids().await, [live, wish(4).id, wish(5).id].into());
    assert_eq!(
        left(&server).await.len(),
        5,
        "the index, the agent's set, three jobs"
    );
}

#[tokio::test]
async fn a_job_can_be_removed_while_it_is_carried_out() {
    let server = Server::new().await;
    let jobs = server.jobs(gateway(1));
    add(&jobs, 1, "a").await;
    pass(&server, 2 * HOUR_MS).await;
    let given = taken(&jobs, HOUR).await;
    assert!(jobs.remove(&agent("a"), &given.job.id).await.unwrap());
    let how = finished(Some(5));
    assert!(!jobs.finish(&given.job.id, given.run, &how).await.unwrap());
    assert_eq!(nothing(&jobs).await, None);
    assert_eq!(left(&server).await, Vec::<String>::new());
}

/// A person may write there too.
#[tokio::test]
async fn what_is_no_job_is_in_nobodys_way() {
    let server = Server::new().await;
    let jobs = server.jobs(gateway(1));
    let mut connection = server.connection.clone();
    let due = server.keys.cron_due();
    for id in ["", "x", "j-000000000001"] {
        let () = connection.zadd(&due, id, 1).await.unwrap();
    }
    let strange = server.keys.cron_job("j-000000000002");
    let () = connection.hset(&strange, "state", "waiting").await.unwrap();
    let () = connection.zadd(&due, "j-000000000002", 2).await.unwrap();
    let (id, _) = add(&jobs, 3, "a").await;
    let strange = jobs.take(HOUR).await.unwrap_err();
    assert!(!strange.is_retryable(), "{strange}");
    pass(&server, 2 * HOUR_MS).await;
    // What could not be read comes again when its time is over, like everything else.
    let mut taken = BTreeSet::new();
    loop {
        match jobs.take(HOUR).await {
            Ok(Take::Taken(given)) => taken.insert(given.job.id),
            Ok(Take::Nothing { .. }) => break,
            Err(error) => {
                assert!(!error.is_retryable(), "{error}");
                false
            }
        };
    }
    assert_eq!(taken, [id].into());
}

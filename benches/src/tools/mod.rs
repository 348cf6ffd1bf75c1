//! What the gateway's bridge adds to a call of a tool: the same client calls the cheapest tool over
//! `/mcp`, and bare rmcp servers with a tool that does nothing, one after the other.

mod bare;
mod client;
mod report;

use anyhow::{Context, Result};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use self::client::{Client, Kind};
use crate::Arguments;
use crate::samples::Samples;
use crate::site::Site;
use crate::stream::StreamPool;

/// Calls that are not counted.
const WARM_UP: usize = 20;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A bare rmcp server on one thread.
    Bare,
    /// The gateway, with a token that a person was given.
    Person,
    /// A bare rmcp server on as many threads as the gateway has.
    BareThreads,
    /// The gateway, with the token of the session's container.
    Container,
}

impl Way {
    /// In the order of the calls: the gateway has always rested for as long.
    const ALL: [Self; 4] = [Self::Bare, Self::Person, Self::BareThreads, Self::Container];
}

/// Times of calls by all clients.
#[derive(Debug)]
pub(crate) struct Called(Vec<CalledBy>);

/// Times of calls by one client, in ms, in the order of [`Way::ALL`].
#[derive(Debug)]
struct CalledBy {
    kind: Kind,
    took: [Samples; 4],
}

impl CalledBy {
    fn took(&self, way: Way) -> &Samples {
        &self.took[way as usize]
    }

    /// How many times as long the median is as that of the bare server on one thread.
    fn ratio(&self, way: Way) -> Result<f64> {
        let median = |way| self.took(way).median().context("no call was measured");
        Ok(median(way)? / median(Way::Bare)?)
    }
}

/// Lets every client call in every way, in turns.
pub(crate) async fn measure(
    arguments: &Arguments,
    calls: usize,
    site: &mut Site,
) -> Result<Called> {
    let pool = StreamPool::start(arguments, site).await?;
    let (persons, containers) = (pool.mcp_token().await?, pool.container_token()?);
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let bare = bare::serve(Builder::new_current_thread(), stop.clone())?;
    let threads = bare::serve(Builder::new_multi_thread(), stop)?;
    let gateway = pool.mcp_url();
    let mut clients = Vec::new();
    for kind in Kind::ALL {
        for way in Way::ALL {
            let (url, token) = match way {
                Way::Bare => (&bare, &persons),
                Way::BareThreads => (&threads, &persons),
                Way::Person => (&gateway, &persons),
                Way::Container => (&gateway, &containers),
            };
            clients.push((kind, way, Client::connect(kind, url, token).await?));
        }
    }
    let mut called = Kind::ALL.map(|kind| CalledBy {
        kind,
        took: Default::default(),
    });
    for round in 0..WARM_UP + calls {
        for (kind, way, client) in &clients {
            let took = client.call().await?;
            if round >= WARM_UP {
                called[*kind as usize].took[*way as usize].add(took);
            }
        }
    }
    for (_, _, client) in clients {
        client.close().await?;
    }
    Ok(Called(called.into()))
}

//! Processes that wait for their conversations to go on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ccpool::SessionId;
use ccpool::provider::Conversation;
use tokio::sync::mpsc;

use super::memory::Memory;
use super::turn::Order;

/// Those that wait, the one that has waited for longest first.
#[derive(Debug, Default)]
pub(super) struct Desk {
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    process: u64,
    session: SessionId,
    memory: Memory,
    orders: mpsc::Sender<Order>,
}

/// A process that knows the beginning of a conversation, and waits no more.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) session: SessionId,
    /// How many messages it knows.
    pub(super) known: usize,
    /// Closed if the process has just ended.
    pub(super) orders: mpsc::Sender<Order>,
}

impl Desk {
    /// This process waits. What it is asked next comes out of the channel; the channel ends when
    /// nobody will ask it any more.
    pub(super) fn put(
        &self,
        process: u64,
        session: SessionId,
        memory: Memory,
    ) -> mpsc::Receiver<Order> {
        let (orders, next) = mpsc::channel(1);
        self.waiting().push(Waiting {
            process,
            session,
            memory,
            orders,
        });
        next
    }

    /// The process that knows most of this conversation, if one knows its beginning and nothing else.
    pub(super) fn take(&self, conversation: &Conversation) -> Option<Taken> {
        let mut waiting = self.waiting();
        let fits = waiting.iter().enumerate();
        let fits = fits.filter_map(|(at, one)| Some((one.memory.known(conversation)?, at)));
        let (known, at) = fits.max()?;
        let Waiting {
            session, orders, ..
        } = waiting.remove(at);
        Some(Taken {
            session,
            known,
            orders,
        })
    }

    /// This process does not wait any more. False: it was taken, and an order is on its way to it.
    pub(super) fn withdraw(&self, process: u64) -> bool {
        let mut waiting = self.waiting();
        let before = waiting.len();
        waiting.retain(|one| one.process != process);
        waiting.len() < before
    }

    /// Lets the one go that has waited for longest. False: none waits.
    pub(super) fn dismiss_oldest(&self) -> bool {
        let mut waiting = self.waiting();
        if waiting.is_empty() {
            return false;
        }
        waiting.remove(0);
        true
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ccpool::provider::Message;

    use super::*;

    fn conversation(texts: &[&str]) -> Conversation {
        let said = |(at, text): (usize, &&str)| match at % 2 {
            0 => Message::user(*text),
            _ => Message::assistant(*text),
        };
        Conversation {
            messages: texts.iter().enumerate().map(said).collect(),
            ..Conversation::default()
        }
    }

    #[test]
    fn who_is_taken_or_let_go_waits_no_more() {
        let desk = Desk::default();
        let name = |name: &str| SessionId::new(name).unwrap();
        let mut first = desk.put(1, name("s1"), Memory::of(&conversation(&["a", "b"])));
        let mut second = desk.put(2, name("s2"), Memory::of(&conversation(&["c", "d"])));
        let goes_on = conversation(&["c", "d", "e"]);
        assert_eq!(
            desk.take(&goes_on).map(|taken| taken.session),
            Some(name("s2"))
        );
        assert!(desk.take(&goes_on).is_none());
        assert!(second.blocking_recv().is_none());
        assert!(!desk.withdraw(2));
        assert!(desk.dismiss_oldest());
        assert!(first.blocking_recv().is_none());
        assert!(!desk.dismiss_oldest());
    }
}

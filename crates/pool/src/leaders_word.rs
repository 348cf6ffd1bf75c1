//! What the gateway that leads tells the others of its trouble.

use crate::standing::{Fence, Standing};
use crate::store::{LookNumber, Store};

/// Only who leads starts containers, so its trouble is everybody's: it writes down in Redis that none
/// can be started, for as long as its lease lasts, and takes it back as soon as they can be.
///
/// Looks in trouble are numbered before they ask for anything, and tell it anew. So whoever saw a lower
/// number knows that what is told was found out afterwards.
#[derive(Debug, Default)]
pub(crate) struct LeadersWord {
    /// Of the look that is under way.
    number: Option<LookNumber>,
    /// The look before has shown trouble too.
    expected: bool,
    /// What this gateway has said may still stand.
    may_stand: bool,
}

impl LeadersWord {
    /// At the beginning of a look, before it asks for anything. One that expects no trouble needs no
    /// number.
    pub(crate) async fn begin(&mut self, store: &dyn Store, fence: Option<Fence>, expected: bool) {
        (self.number, self.expected) = (None, expected);
        let Some(fence) = fence.filter(|_| expected) else {
            return;
        };
        match store.draw(fence).await {
            Ok(number) => self.number = number,
            Err(error) => tracing::debug!(%error, "could not draw the number of a look"),
        }
    }

    /// At the end of the look, with what it has shown. True: it has shown trouble that was not
    /// expected, which is told after the next look.
    pub(crate) async fn tell(
        &mut self,
        store: &dyn Store,
        standing: &Standing,
        trouble: Option<&str>,
    ) -> bool {
        let Some(fence) = standing.fence else {
            self.may_stand = false;
            return false;
        };
        let said = match (trouble, self.number.take()) {
            // By nothing could a claim know that it came before this.
            (Some(_), None) => return !self.expected,
            (Some(why), Some(number)) => Some((why, number)),
            // Redis may know more than is remembered here, as after it was set back to a snapshot.
            (None, _) if self.may_stand || standing.trouble.is_some() => None,
            (None, _) => return false,
        };
        self.may_stand = true;
        match store.say(said, fence).await {
            Ok(stands) => self.may_stand = stands && said.is_some(),
            // It is said again after the next look.
            Err(error) => tracing::debug!(%error, "could not tell how it is about containers"),
        }
        false
    }
}

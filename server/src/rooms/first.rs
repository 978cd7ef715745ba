//! The rooms that a connection is in from the start. Called when it opens.

use crate::session::context::Context;
use shardcast_protocol::dialect::Problem;

impl Context<'_> {
    /// Joins the rooms that a connection has from the start. One that is not in them, though it was
    /// told so, would wait in vain: it is disconnected.
    pub(crate) fn begin_in(&mut self, rooms: &[&str]) {
        let give_up = |cx: &mut Context<'_>, problem: Problem| {
            cx.disconnect(problem.code.close_code(), &problem.message);
        };
        let begun = self.join_then(rooms, move |cx, joined| {
            if let Err(problem) = joined {
                give_up(cx, problem);
            }
        });
        if let Err(failure) = begun {
            give_up(self, failure.into_problem("connect"));
        }
    }
}

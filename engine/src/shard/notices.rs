//! Notices: what connections and other threads have a connection know, or what it has left.

use super::Shard;
use crate::application::Application;
use crate::confine::discard;
use crate::connection::phase::Phase;
use crate::driver::boundary::Driver;
use crate::types::answer::Notice;
use crate::types::ticket::Ticket;

impl<A: Application, D: Driver> Shard<A, D> {
    pub(super) fn notify(&mut self, who: Ticket, notice: Notice) {
        if self.core.connections.slots.phase(who) != Phase::Open {
            if discard(notice).is_err() {
                self.core.count_panic(None);
            }
            return;
        }
        self.core.counters.activity.about(who.slot);
        self.call(who, None, |application, context, session| {
            application.notified(context, session, notice)
        });
        self.after_call();
    }

    /// Who is gone has left something that is asked for.
    pub(super) fn reach(&mut self, who: Ticket, notice: Notice) {
        self.take_notice(who, notice);
        self.after_call();
    }

    /// What another connection has this one know.
    pub(super) fn take_notice(&mut self, who: Ticket, notice: Notice) {
        // Whoever has closed in this tick is told of before anybody asks for what it left.
        self.report_ended();
        if self.core.connections.slots.phase(who) == Phase::Open {
            self.call(who, None, |application, context, session| {
                application.notified(context, session, notice)
            });
        } else {
            self.shielded(who, |application, context| {
                application.unreached(context, notice)
            });
        }
    }
}

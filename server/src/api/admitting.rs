//! Who is let in, on one shard: the hooks decide, here or in the background, and the limits count.
//! Called by the service for every client that asks to connect.

use super::service::Service;
use crate::admission::arrival::{self, AdmissionOutcome, Arrival, Decision};
use crate::admission::connect::Connect;
use crate::admission::entrance::{Chosen, Pings};
use crate::api::hooks::ConnectHook;
use crate::auth::gate::{LaterPassage, Passage};
use crate::auth::sources::has_bearer;
use crate::limits::limiter::slot_of;
use crate::session::admitted::Admitted;
use crate::session::context::Session;
use crate::session::identity::Identity;
use crate::wire::failure::HANDLER_FAILED;
use shardcast_engine::{
    Accepted, Admission, Context as Engine, EncodingId, Heartbeat, Notice, Refusal,
};
use shardcast_protocol::http::{Headers, HttpRequest};
use std::sync::Arc;

const UNREADABLE: &str = "a request that was read once cannot be read again";

impl Service {
    /// Whether a client that asks to connect is let in.
    pub(super) fn judge(
        &mut self,
        cx: &mut Engine<'_>,
        request: &HttpRequest<'_>,
    ) -> Admission<Session> {
        let tokens = self.shared.gate.as_deref();
        if let Err(refusal) = self.gate.connects(&self.code.access, tokens, cx, request) {
            return Admission::Refuse(refusal);
        }
        let slot = slot_of(cx);
        if let Some(limiter) = &mut self.state.limiter
            && let Err(excess) = limiter.connects(slot, cx.peer())
        {
            return Admission::Refuse(excess.into());
        }
        self.find_out(cx, request)
    }

    /// Finds out who a client is, and whether it is let in.
    fn find_out(&mut self, cx: &mut Engine<'_>, request: &HttpRequest<'_>) -> Admission<Session> {
        let chosen = match self.code.entrances.choose(request) {
            Ok(chosen) => chosen,
            Err(refusal) => return Admission::Refuse(refusal),
        };
        let passage = match &self.shared.gate {
            Some(gate) => gate.enter(cx.peer(), request),
            None => Passage::Known(Identity::nobody()),
        };
        match passage {
            Passage::Known(identity) => self.ask_hook(cx, request, chosen, identity),
            Passage::Later(later) => self.begin(cx, request, chosen, Err(later)),
            Passage::Refused(refusal) => Admission::Refuse(refusal),
        }
    }

    /// What a client's future has found out.
    pub(super) fn apply_decision(
        &mut self,
        cx: &mut Engine<'_>,
        notice: Notice,
    ) -> Admission<Session> {
        let Ok(decision) = notice.downcast::<Decision>() else {
            return Admission::Refuse(Refusal::new(500, HANDLER_FAILED));
        };
        let admission = self.admit_decided(cx, &decision);
        decision
            .with_request(|request| self.settle(cx, request, &admission))
            .unwrap_or_else(|| tracing::error!("{UNREADABLE}"));
        admission
    }

    fn admit_decided(&mut self, cx: &mut Engine<'_>, decision: &Decision) -> Admission<Session> {
        match &decision.outcome {
            AdmissionOutcome::Known(Ok(admitted)) => self.accept_decided(cx, decision, admitted),
            AdmissionOutcome::Known(Err(refusal)) => Admission::Refuse(refusal.clone()),
            AdmissionOutcome::Panic => {
                cx.count_panic();
                Admission::Refuse(Refusal::new(500, HANDLER_FAILED))
            }
            AdmissionOutcome::Dropped => {
                tracing::warn!("the decision about a client was dropped: its runtime ended");
                Admission::Refuse(Refusal::new(503, "the server stops"))
            }
        }
    }

    /// Whoever is refused does not count. What a page of another site does says nothing of whose
    /// browser shows it; but what no page can send is nobody's page.
    pub(super) fn settle(
        &mut self,
        cx: &Engine<'_>,
        request: &HttpRequest<'_>,
        admission: &Admission<Session>,
    ) {
        let Admission::Refuse(refusal) = admission else {
            return;
        };
        if let Some(limiter) = &mut self.state.limiter {
            limiter.abandons(slot_of(cx));
        }
        let access = &self.code.access;
        let is_foreign_page = access.origins.get().check(request, cx.peer()).is_err();
        if !is_foreign_page || has_bearer(request) {
            access.refused(cx.peer(), refusal.status);
        }
    }

    /// Lets the hook decide about a client of which is known who it is.
    fn ask_hook(
        &mut self,
        cx: &mut Engine<'_>,
        request: &HttpRequest<'_>,
        chosen: Chosen,
        identity: Identity,
    ) -> Admission<Session> {
        match &self.code.hooks.connect {
            None => self.accept(cx, chosen, identity, Headers::new()),
            Some(ConnectHook::OnShard(hook)) => {
                let connect = Connect::new(cx, request, chosen.dialect, &identity);
                match hook(&connect) {
                    Ok(decided) => {
                        let headers = connect.into_headers();
                        self.accept(cx, chosen, decided.bound_to(&identity), headers)
                    }
                    Err(refusal) => Admission::Refuse(refusal),
                }
            }
            Some(ConnectHook::InBackground(_)) => self.begin(cx, request, chosen, Ok(identity)),
        }
    }

    /// Decides about a client in the background: who it is, if that is not known yet, and what the
    /// hook there says.
    fn begin(
        &mut self,
        cx: &Engine<'_>,
        request: &HttpRequest<'_>,
        chosen: Chosen,
        who: Result<Identity, LaterPassage>,
    ) -> Admission<Session> {
        // Where no further client may wait, the engine refuses, and no future is begun.
        if !cx.may_defer() {
            return Admission::Defer;
        }
        let hook = match &self.code.hooks.connect {
            Some(ConnectHook::InBackground(hook)) => Some(Arc::clone(hook)),
            Some(ConnectHook::OnShard(_)) | None => None,
        };
        let (identity, later) = match who {
            Ok(identity) => (Some(identity), None),
            Err(later) => (None, Some(later)),
        };
        let arrival = Arrival::new(cx, request, chosen.dialect, identity);
        let client = (cx.address(), chosen);
        let (arrivals, shared) = (&mut self.arrivals, &self.shared);
        match arrival::begin(arrivals, shared, arrival, client, later, hook) {
            true => Admission::Defer,
            false => Admission::Refuse(Refusal::new(503, "too many clients wait")),
        }
    }

    /// Accepts a client that waited. A hook on the shard has not seen it yet: the client's token
    /// was checked meanwhile.
    fn accept_decided(
        &mut self,
        cx: &mut Engine<'_>,
        decision: &Decision,
        admitted: &Admitted,
    ) -> Admission<Session> {
        let identity = &admitted.identity;
        if let Some(ConnectHook::OnShard(_)) = &self.code.hooks.connect {
            let asked = decision.with_request(|request| {
                self.ask_hook(cx, request, decision.chosen, identity.clone())
            });
            return asked.unwrap_or_else(|| {
                tracing::error!("{UNREADABLE}");
                Admission::Refuse(Refusal::new(500, HANDLER_FAILED))
            });
        }
        let headers = decision.take_headers();
        let mut accepted = self.accept(cx, decision.chosen, identity.clone(), headers);
        if admitted.begins_with_something()
            && let Admission::Accept(accepted) = &mut accepted
        {
            accepted.session.more().admitted = Some(Box::new(admitted.clone()));
        }
        accepted
    }

    /// Tells the application of a connection, once it is known who that is.
    pub(super) fn greet(&mut self, cx: &mut Engine<'_>, session: &mut Session) {
        let Some(hook) = self.code.hooks.opened.clone() else {
            return;
        };
        let mut context = self.context(cx, session);
        if let Err(failure) = hook(&mut context) {
            let problem = failure.into_problem("opened");
            context.disconnect(problem.code.close_code(), &problem.message);
        }
    }

    /// Tells the application of a connection that has said just now who it is.
    #[inline]
    pub(super) fn greet_late(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        was_awaited: bool,
    ) {
        if was_awaited && cx.is_open() && !self.context(cx, session).is_awaited() {
            self.greet(cx, session);
        }
    }

    fn accept(
        &mut self,
        cx: &Engine<'_>,
        chosen: Chosen,
        identity: Identity,
        headers: Headers,
    ) -> Admission<Session> {
        if let Err(refusal) = self.code.access.admits(identity.name()) {
            return Admission::Refuse(refusal);
        }
        let slot = slot_of(cx);
        if let Some(limiter) = &mut self.state.limiter
            && let Err(excess) = limiter.accepts(slot, &identity)
        {
            return Admission::Refuse(excess.into());
        }
        let heartbeats = &self.shared.centrifuge;
        Admission::Accept(Accepted {
            subprotocol: chosen.subprotocol,
            encoding: EncodingId::new(chosen.dialect.index()),
            headers,
            heartbeat: match chosen.pings {
                Pings::WebSocket => Heartbeat::WebSocketPing,
                Pings::Dialect => heartbeats.heartbeat_of(chosen.dialect),
            },
            form: chosen.form,
            ..Session::new(cx.now_ms(), identity).into()
        })
    }
}

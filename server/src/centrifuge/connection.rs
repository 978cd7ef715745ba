//! A connection of the Centrifuge protocol before and at its first command: nothing is taken before
//! it, and it comes in time; and at later ones that prove who it is.
//!
//! Invariant: a client that says who it is is that, or is refused; never nobody, and never somebody
//! else. Commands that come while the first is under way are held, and done after it. Called by the
//! service.

use crate::auth::check;
use crate::auth::claims::Purpose;
use crate::auth::fault::TokenFault;
use crate::auth::refreshing::{ShownProof, ask_for_client, takes_any_proof};
use crate::centrifuge::answers::{ProvedBy, answer_connected, answer_refusal, end_with, state};
use crate::centrifuge::requests::problem_of;
use crate::centrifuge::server_side::{self, WantedOfClient};
use crate::session::call::OwnedCall;
use crate::session::centrifuge::ConnectStage;
use crate::session::context::{Context, Session};
use crate::session::limits::Limits;
use crate::session::muting::{dialect_of, dialect_of_encoding, muted};
use crate::session::shard_state::ShardState;
use crate::session::shared::Shared;
use crate::wire::position::since_of;
use crate::wire::publication::INFO_BYTES_MAX;
use shardcast_engine::Context as Engine;
use shardcast_protocol::dialect::centrifuge::{ConnectCommand, Disconnect, Refusal};
use shardcast_protocol::dialect::{Code, Dialect, Problem, Reply};
use shardcast_protocol::events::Form;

/// Whether the connection speaks the protocol.
pub(crate) fn is_centrifuge(cx: &Engine<'_>) -> bool {
    dialect_of_encoding(cx.encoding()).is_some_and(Dialect::is_centrifuge)
}

/// The connection is open, and its first command is awaited: before it, nobody who is not known yet
/// is sent what others publish.
pub(crate) fn await_connect(cx: &mut Engine<'_>, session: &mut Session, shared: &Shared) {
    state(session).stage = ConnectStage::Awaited;
    if session.identity().name().is_none() {
        let _is_open = cx.set_encoding(muted(dialect_of(cx, session)));
    }
    cx.wake_at(cx.now_ms().saturating_add(shared.centrifuge.connect_ms));
}

/// How far the first command is.
pub(crate) fn stage(session: &Session) -> ConnectStage {
    let state = session.some().and_then(|more| more.centrifuge.as_ref());
    state.map_or(ConnectStage::Connected, |state| state.stage)
}

/// By when a first command must come that has not; `None`: it has.
pub(crate) fn connect_due(session: &Session, shared: &Shared) -> Option<u64> {
    let due_ms = session
        .opened_ms()
        .saturating_add(shared.centrifuge.connect_ms);
    (stage(session) != ConnectStage::Connected).then_some(due_ms)
}

/// Keeps commands for later.
///
/// # Errors
/// They are more than a connection may have, or too many connections of the shard have some.
pub(crate) fn hold(
    cx: &Engine<'_>,
    session: &mut Session,
    shard: &ShardState,
    commands: &[u8],
) -> Result<(), Disconnect> {
    if commands.is_empty() {
        return Ok(());
    }
    let is_json = dialect_of(cx, session) == Dialect::CentrifugeJson;
    let state = state(session);
    if state.held.len() + commands.len() >= Limits::HELD_BYTES_PER_CONNECTION_MAX {
        return Err(Disconnect::BAD_REQUEST);
    }
    if state.held_permit.is_none() {
        if shard.held.taken() >= Limits::HELD_PER_SHARD_MAX {
            return Err(Disconnect::TOO_MANY_REQUESTS);
        }
        state.held_permit = Some(shard.held.take());
    }
    state.held.extend_from_slice(commands);
    if is_json {
        state.held.push(b'\n');
    }
    Ok(())
}

/// Takes what was held, once the first command is done.
pub(crate) fn take_held(session: &mut Session) -> Option<Vec<u8>> {
    let state = session.some_mut()?.centrifuge.as_mut()?;
    let is_ready = state.stage == ConnectStage::Connected && !state.held.is_empty();
    let held = is_ready.then(|| std::mem::take(&mut state.held));
    if held.is_some() {
        state.held_permit = None;
    }
    session.shrink();
    held
}

/// The first command, which is the request at hand.
pub(crate) fn connect(cx: &mut Context<'_>, asked: &ConnectCommand<'_>) {
    let Some(call) = cx.defer() else { return };
    state(cx.session).stage = ConnectStage::UnderWay;
    let had = asked
        .had
        .channels()
        .take(cx.shared.rooms_per_connection_max);
    let had = had.map(|wanted| {
        let filter = wanted.filter.transpose().map_err(problem_of)?;
        Ok::<WantedOfClient, Problem>(WantedOfClient {
            channel: wanted.channel.into(),
            since: wanted.since.as_ref().map(since_of),
            filter,
        })
    });
    let had: Result<Vec<WantedOfClient>, Problem> = had.collect();
    let had = match had {
        Ok(had) => had,
        Err(problem) => return refuse_connect(cx, &call, &problem),
    };
    let is_known = !cx.identity().is_nobody();
    let takes = match &cx.shared.gate {
        None => return begin(cx, call, had),
        Some(gate) => gate.takes_messages(),
    };
    if is_known || asked.token.is_empty() {
        return match cx.must_prove() {
            true => end_with(cx, Disconnect::INVALID_TOKEN, "a token is required"),
            false => begin(cx, call, had),
        };
    }
    if !takes {
        let text = "tokens are not taken in messages here";
        return end_with(cx, Disconnect::INVALID_TOKEN, text);
    }
    let waiting = call.clone();
    let begun = check::start(
        cx,
        &asked.token,
        Purpose::Connection,
        move |cx, outcome| match outcome {
            Ok(verified) => match check::apply(cx, verified) {
                Ok(_) => begin(cx, waiting, had),
                Err(failure) => refuse_connect(cx, &waiting, &failure.into_problem("connect")),
            },
            Err(TokenFault::Expired) if asks_for_nothing(cx) => {
                end_with(cx, Disconnect::EXPIRED, "the token has expired");
            }
            Err(TokenFault::Expired) => {
                answer_refusal(cx, &waiting, Refusal::TokenExpired);
                go_back(cx);
            }
            Err(fault) if fault.is_transient() => {
                refuse_connect(cx, &waiting, &fault.problem());
            }
            Err(fault) => end_with(cx, Disconnect::INVALID_TOKEN, &fault.to_string()),
        },
    );
    if let Err(problem) = begun {
        refuse_connect(cx, &call, &problem);
    }
}

/// The first command is refused; another may come.
fn refuse_connect(cx: &mut Context<'_>, call: &OwnedCall, problem: &Problem) {
    if problem.code == Code::Unauthorized || problem.code == Code::Forbidden {
        return end_with(cx, Disconnect::INVALID_TOKEN, &problem.message);
    }
    if asks_for_nothing(cx) {
        return cx.disconnect(problem.code.close_code(), &problem.message);
    }
    cx.answer_to(call, &Reply::Error(problem));
    go_back(cx);
}

/// Whether the client hears pushes alone: it cannot be told why it is refused but by an end.
fn asks_for_nothing(cx: &Context<'_>) -> bool {
    cx.engine.form().is_some_and(Form::is_unidirectional)
}

/// Nobody serves what came behind a first command that was refused.
fn go_back(cx: &mut Context<'_>) {
    let state = state(cx.session);
    state.stage = ConnectStage::Awaited;
    state.held = Vec::new();
    state.held_permit = None;
}

/// It is known who the client is: what is left is where it is from the start.
fn begin(cx: &mut Context<'_>, call: OwnedCall, had: Vec<WantedOfClient>) {
    let info = cx.identity().claims().and_then(|claims| claims.info());
    if info.is_some_and(|info| info.len() > INFO_BYTES_MAX) {
        let text = "the token's claim info is longer than 1024 bytes";
        return end_with(cx, Disconnect::INVALID_TOKEN, text);
    }
    cx.unmute();
    server_side::begin(cx, call, &had);
}

/// `refresh`, which is the request at hand: another token of the same client.
pub(crate) fn refresh(cx: &mut Context<'_>, token: &str) {
    let Some(call) = cx.defer() else { return };
    if cx.shared.gate.is_none() {
        return match takes_any_proof(cx) {
            true => ask_application(cx, ShownProof::Text(token.into()), &call),
            false => answer_refusal(cx, &call, Refusal::NotAvailable),
        };
    }
    let waiting = call.clone();
    let begun = check::start(cx, token, Purpose::Connection, move |cx, outcome| {
        let claims = match outcome {
            Ok(verified) if cx.shared.refresh.is_some() => check::of_same_user(cx, verified),
            Ok(verified) => {
                let applied = check::apply(cx, verified);
                let applied = applied.map_err(|failure| failure.into_problem("refresh"));
                return answer_refreshed(cx, &waiting, applied.map(|_| ()));
            }
            // The client comes back, and gets another one for that.
            Err(TokenFault::Expired) => return end_with(cx, Disconnect::EXPIRED, ""),
            Err(fault) => Err(fault.problem()),
        };
        match claims {
            Ok(claims) => ask_application(cx, ShownProof::Claims(claims), &waiting),
            Err(problem) => answer_refreshed(cx, &waiting, Err(problem)),
        }
    });
    if let Err(problem) = begun {
        cx.answer_to(&call, &Reply::Error(&problem));
    }
}

/// Has the application decide about a refresh, and answers when it has.
fn ask_application(cx: &mut Context<'_>, shown: ShownProof, call: &OwnedCall) {
    let waiting = call.clone();
    let begun = ask_for_client(cx, shown, move |cx, decided| {
        answer_refreshed(cx, &waiting, decided);
    });
    if let Err(problem) = begun {
        cx.answer_to(call, &Reply::Error(&problem));
    }
}

fn answer_refreshed(cx: &mut Context<'_>, call: &OwnedCall, refreshed: Result<(), Problem>) {
    match refreshed {
        Ok(()) => answer_connected(cx, call, ProvedBy::Refresh, &[]),
        Err(problem) if problem.code == Code::Unauthorized => {
            end_with(cx, Disconnect::INVALID_TOKEN, &problem.message);
        }
        Err(problem) => cx.answer_to(call, &Reply::Error(&problem)),
    }
}

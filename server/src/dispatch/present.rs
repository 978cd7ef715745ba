//! The answers to clients who asked who is in a room: a list of names where that is all that the
//! room knows, pages where it knows its members one by one.
//!
//! Invariant: whoever asks on with the cursor of each answer is named each member once that stays
//! for all of it. Called by `late`.

use crate::dispatch::page::fitting;
use crate::rooms::cursor::{cursor_text, key_of};
use crate::session::call::OwnedCall;
use crate::session::context::Context;
use crate::wire::connection_id::{ConnectionId, IdText};
use crate::wire::publication::shown_by;
use shardcast_engine::{Listing, PresencePage, PresenceState};
use shardcast_protocol::dialect::{Member, MemberState, Presence, Reply};

/// Answers with names.
pub(crate) fn answer_listing(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    room: &str,
    limit: Option<u32>,
    listing: &Listing,
) {
    let limit = limit.map_or(usize::MAX, |limit| limit as usize);
    let found = listing.members.iter().take(limit);
    let ids: Vec<IdText> = found
        .clone()
        .map(|member| ConnectionId(member.address).text())
        .collect();
    let members = ids.iter().zip(found).map(|(id, member)| Member {
        connection: Some(id.as_str()),
        user: member.user.as_deref(),
        data: None,
        state: MemberState::Here,
    });
    let members: Vec<Member<'_>> = members.collect();
    let presence = Presence {
        room,
        total: listing.total,
        cursor: None,
        members: &members,
    };
    cx.answer_to(call, &Reply::Presence(presence));
}

/// Answers with a page of members.
pub(crate) fn answer_page(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    room: &str,
    limit: u32,
    page: &PresencePage,
) {
    let found = page.page.iter().take(limit as usize);
    let ids = found.clone().map(|member| {
        let id = member.connection.map(ConnectionId);
        id.map(ConnectionId::text)
    });
    let ids: Vec<Option<IdText>> = ids.collect();
    let members = ids.iter().zip(found).map(|(id, member)| Member {
        connection: id
            .as_ref()
            .map(IdText::as_str)
            .or(member.elsewhere.as_deref()),
        user: member.user.as_deref(),
        data: member.data.as_deref().and_then(shown_by),
        state: match member.state {
            PresenceState::Here => MemberState::Here,
            PresenceState::Away => MemberState::Away,
        },
    });
    let mut members: Vec<Member<'_>> = members.collect();
    let encoding = cx.dialect().encoding();
    let sizes = members.iter().map(|member| member.bytes_max(encoding));
    members.truncate(fitting(sizes, cx.shared.page_bytes_max));
    let shown = members.len();
    let cursor = match page.page.get(shown) {
        // The rest of this page is the beginning of the next.
        Some(_) => shown
            .checked_sub(1)
            .and_then(|last| key_of(&page.page[last])),
        None => page.next.clone(),
    };
    let cursor = cursor.as_ref().map(cursor_text);
    let presence = Presence {
        room,
        total: page.members,
        cursor: cursor.as_deref(),
        members: &members,
    };
    cx.answer_to(call, &Reply::Presence(presence));
}

//! What a client that connects once more has had of the channels that the server subscribed it to:
//! a map of subscriptions in `connect`, which is read where it is needed.
//!
//! Invariant: it was checked as a whole, and has at most [`HadOfChannels::COUNT_MAX`] entries;
//! nothing is collected, so it costs no memory beside its message. Made by `command`.

use super::filter::{FilterFault, NodeValue, TagFilter};
use super::protobuf::{Reader, Wire};
use super::record::{FieldValue, Record};
use super::schema::Field;
use super::schema::sent::{sub_entry, subscribe};
use crate::dialect::fields::Wrong;
use crate::dialect::position::Since;
use crate::dialect::token::{Rest, Token, Tokens};
use crate::dialect::value::Value;
use crate::json::Raw;
use std::borrow::Cow;

/// What a client has had of channels, by their names. A channel may stand there twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HadOfChannels<'b>(SentMap<'b>);

/// The map as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SentMap<'b> {
    #[default]
    Empty,
    Object(Raw<'b>),
    /// The message that has it, and the field that its entries are.
    Entries(&'b [u8], Field),
}

/// What a client wants of a channel, if the server subscribes it to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedChannel<'b> {
    /// Which.
    pub channel: Cow<'b, str>,
    /// What it has had of it, if it wants the rest.
    pub since: Option<Since<'b>>,
    /// Which publications it wants to be sent. `None`: all.
    pub filter: Option<Result<TagFilter, FilterFault>>,
}

impl<'b> HadOfChannels<'b> {
    /// Most channels: as many as a connection may be in at the most.
    pub const COUNT_MAX: usize = 4_096;

    fn of_object(object: Raw<'b>) -> Result<HadOfChannels<'b>, Wrong> {
        let map = match Tokens::new(Value::Json(object)).head() {
            Token::Map(_) => SentMap::Object(object),
            _ => return Err(NO_MAP),
        };
        HadOfChannels(map).checked()
    }

    fn of_entries(message: &'b [u8], field: Field) -> Result<HadOfChannels<'b>, Wrong> {
        HadOfChannels(SentMap::Entries(message, field)).checked()
    }

    fn checked(self) -> Result<HadOfChannels<'b>, Wrong> {
        let mut count = 0;
        for entry in self.entries() {
            entry?;
            count += 1;
            if count > HadOfChannels::COUNT_MAX {
                return Err("subs names too many channels");
            }
        }
        Ok(match count {
            0 => HadOfChannels::default(),
            _ => self,
        })
    }

    /// The channels of which the client wants the rest, or not all.
    pub fn channels(&self) -> impl Iterator<Item = WantedChannel<'b>> + use<'b> {
        let entries = self.entries().filter_map(Result::ok);
        entries.filter(|wanted| wanted.since.is_some() || wanted.filter.is_some())
    }

    fn entries(&self) -> HadEntries<'b> {
        match self.0 {
            SentMap::Empty => HadEntries::None,
            SentMap::Object(object) => {
                let mut tokens = Tokens::new(Value::Json(object));
                match tokens.head() {
                    Token::Map(rest) => HadEntries::Object(tokens, rest),
                    _ => HadEntries::None,
                }
            }
            SentMap::Entries(message, field) => HadEntries::Fields(Reader::new(message), field),
        }
    }
}

/// A value that may be a map of subscriptions.
pub(super) trait SubsValue<'b>: FieldValue<'b> {
    /// What a client has had of channels: a map that is a field of this message.
    fn had(self, map: Self, field: Field) -> Result<HadOfChannels<'b>, Wrong>;
}

impl<'b> SubsValue<'b> for Raw<'b> {
    fn had(self, map: Raw<'b>, _field: Field) -> Result<HadOfChannels<'b>, Wrong> {
        HadOfChannels::of_object(map)
    }
}

impl<'b> SubsValue<'b> for Wire<'b> {
    fn had(self, _map: Wire<'b>, field: Field) -> Result<HadOfChannels<'b>, Wrong> {
        match self {
            Wire::Bytes(bytes) => HadOfChannels::of_entries(bytes, field),
            Wire::Varint(..) | Wire::Fixed => Err("a field is not of its type"),
        }
    }
}

/// What a client has had of a channel, if it wants the rest.
pub(super) fn recovering<'b, S: FieldValue<'b>>(
    asked: &Record<S>,
) -> Result<Option<Since<'b>>, Wrong> {
    Ok(match asked.boolean(subscribe::RECOVER)? {
        true => Some(Since {
            epoch: asked.text(subscribe::EPOCH)?,
            offset: asked.unsigned(subscribe::OFFSET)?,
        }),
        false => None,
    })
}

const NO_MAP: Wrong = "subs is a map of subscriptions by channel";

/// The entries of a map, until one is malformed.
enum HadEntries<'b> {
    None,
    Object(Tokens<'b>, Rest),
    Fields(Reader<'b>, Field),
}

impl<'b> Iterator for HadEntries<'b> {
    type Item = Result<WantedChannel<'b>, Wrong>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            HadEntries::None => None,
            HadEntries::Object(tokens, rest) => tokens.more(rest).then(|| {
                let channel = tokens.key();
                match tokens.value() {
                    Value::Json(raw) => one(channel, FieldValue::record(raw, subscribe::ALL)),
                    Value::Pack(_) | Value::Bytes(_) => Err(NO_MAP),
                }
            }),
            HadEntries::Fields(reader, field) => {
                while !reader.is_empty() {
                    match reader.field() {
                        Ok((tag, value)) if tag == u64::from(field.tag) => {
                            return Some(entry(value));
                        }
                        Ok(_) => {}
                        Err(wrong) => return Some(Err(wrong)),
                    }
                }
                None
            }
        }
    }
}

fn entry<'b>(value: Wire<'b>) -> Result<WantedChannel<'b>, Wrong> {
    let entry = value.record(sub_entry::ALL)?;
    let subscription = entry.record(sub_entry::VALUE, subscribe::ALL)?;
    one(
        entry.text(sub_entry::KEY)?,
        Ok(subscription.unwrap_or(Record::EMPTY)),
    )
}

fn one<'b, S: NodeValue<'b>>(
    channel: Cow<'b, str>,
    subscription: Result<Record<S>, Wrong>,
) -> Result<WantedChannel<'b>, Wrong> {
    let subscription = subscription?;
    Ok(WantedChannel {
        channel,
        since: recovering(&subscription)?,
        filter: subscription.get(subscribe::FILTER).map(TagFilter::read),
    })
}

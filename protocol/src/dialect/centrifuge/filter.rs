//! Filters of publications by their tags: read from a `subscribe` in either encoding, and asked for
//! each publication.
//!
//! Invariant: a filter is well formed as the protocol has it, and within the limits below. It is
//! kept as bytes, and two that ask for the same in the same order are the same bytes: so whoever
//! shares a filter is found by comparing them. Made by `command`, asked where a publication has its
//! place in the order.

mod granted;

use super::protobuf::{Reader, Wire};
use super::record::{FieldValue, Record};
use super::schema::Field;
use super::schema::sent::filter_node;
use crate::dialect::fields::Wrong;
use crate::dialect::tagged::{PUBLICATION, TAG_OF_EVENTS, plain_name, tags_in, tags_of};
use crate::dialect::token::{Token, Tokens};
use crate::dialect::value::Value;
use crate::json::Raw;
use std::borrow::Cow;
use std::cmp::Ordering;

/// Which publications of a channel a subscription is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagFilter(Box<[u8]>);

/// Why there is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterFault {
    /// The protocol has no such filter.
    Malformed,
    /// It is larger than filters may be.
    TooLarge,
    /// The subscription asks for deltas, too.
    WithDeltas,
}

impl TagFilter {
    /// Bytes of a filter as it is kept: 8 KiB.
    pub const BYTES_MAX: usize = 8 << 10;
    /// Comparisons, and what combines them.
    pub const NODES_MAX: usize = 128;
    /// How deep they nest.
    pub const DEPTH_MAX: usize = 16;

    /// What `as_bytes` of a filter gave.
    pub fn of_bytes(bytes: &[u8]) -> Option<TagFilter> {
        let mut kept = Kept(bytes);
        let mut nodes = 0;
        kept.check(TagFilter::DEPTH_MAX, &mut nodes)?;
        let fits = kept.0.is_empty() && bytes.len() <= TagFilter::BYTES_MAX;
        fits.then(|| TagFilter(bytes.into()))
    }

    /// To keep, and to compare: equal bytes are the same filter.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a publication with these tags is sent.
    pub fn passes(&self, tags: &Tags<'_>) -> bool {
        TagFilter::passes_kept(&self.0, tags)
    }

    /// The same of a filter as it is kept. False where the bytes are none.
    pub fn passes_kept(kept: &[u8], tags: &Tags<'_>) -> bool {
        Kept(kept).passes(tags, Asked::Yes).unwrap_or(false)
    }

    /// Reads the filter of a subscription.
    pub(super) fn read<'b, S: NodeValue<'b>>(node: S) -> Result<TagFilter, FilterFault> {
        let mut filter = Writing {
            out: Vec::new(),
            nodes: 0,
        };
        filter.node(node, TagFilter::DEPTH_MAX)?;
        Ok(TagFilter(filter.out.into()))
    }
}

/// The tags of a publication.
#[derive(Clone, Debug, Default)]
pub struct Tags<'b>(Vec<(Cow<'b, str>, Cow<'b, str>)>);

impl<'b> Tags<'b> {
    /// Those that clients are told of an event with this name.
    pub fn of_event(name: &'b str) -> Tags<'b> {
        match tags_of(name) {
            Some(tags) => Tags(tags_in(tags).collect()),
            None if plain_name(name) == PUBLICATION => Tags::default(),
            None => Tags(vec![(TAG_OF_EVENTS.into(), plain_name(name).into())]),
        }
    }

    /// The last of this name: a JSON object may have several, and a map has the last.
    fn get(&self, key: &str) -> Option<&str> {
        let named = |(name, _): &&(Cow<'b, str>, Cow<'b, str>)| name == key;
        self.0.iter().rev().find(named).map(|(_, text)| &**text)
    }
}

impl<'b> FromIterator<(&'b str, &'b str)> for Tags<'b> {
    fn from_iter<I: IntoIterator<Item = (&'b str, &'b str)>>(tags: I) -> Tags<'b> {
        let tags = tags.into_iter();
        Tags(tags.map(|(key, text)| (key.into(), text.into())).collect())
    }
}

/// How a tag is compared, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    In,
    NotIn,
    Exists,
    NotExists,
    StartsWith,
    EndsWith,
    Contains,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

const COMPARISONS: [(&str, Comparison); 13] = [
    ("eq", Comparison::Equal),
    ("neq", Comparison::NotEqual),
    ("in", Comparison::In),
    ("nin", Comparison::NotIn),
    ("ex", Comparison::Exists),
    ("nex", Comparison::NotExists),
    ("sw", Comparison::StartsWith),
    ("ew", Comparison::EndsWith),
    ("ct", Comparison::Contains),
    ("gt", Comparison::Greater),
    ("gte", Comparison::GreaterOrEqual),
    ("lt", Comparison::Less),
    ("lte", Comparison::LessOrEqual),
];

/// What a comparison compares with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operands {
    None,
    One,
    Several,
}

impl Comparison {
    fn operands(self) -> Operands {
        match self {
            Comparison::In | Comparison::NotIn => Operands::Several,
            Comparison::Exists | Comparison::NotExists => Operands::None,
            _ => Operands::One,
        }
    }

    /// `with` are what it compares with; a tag that is not there has no text.
    fn holds<'o>(self, tag: Option<&str>, mut with: impl Iterator<Item = &'o str>) -> bool {
        let mut one = || with.next().unwrap_or_default();
        match (self, tag) {
            (Comparison::Exists, tag) => tag.is_some(),
            (Comparison::NotExists, tag) => tag.is_none(),
            // One that is not there counts as empty here.
            (Comparison::In, tag) => with.any(|other| other == tag.unwrap_or_default()),
            (Comparison::NotIn, tag) => with.all(|other| other != tag.unwrap_or_default()),
            (Comparison::NotEqual, tag) => tag != Some(one()),
            (_, None) => false,
            (Comparison::Equal, Some(tag)) => tag == one(),
            (Comparison::StartsWith, Some(tag)) => tag.starts_with(one()),
            (Comparison::EndsWith, Some(tag)) => tag.ends_with(one()),
            (Comparison::Contains, Some(tag)) => tag.contains(one()),
            (comparison, Some(tag)) => {
                let (tag, other) = (Decimal::parse(tag), Decimal::parse(one()));
                let order = tag.zip(other).map(|(tag, other)| tag.order(&other));
                order.is_some_and(|order| match comparison {
                    Comparison::Greater => order.is_gt(),
                    Comparison::GreaterOrEqual => order.is_ge(),
                    Comparison::Less => order.is_lt(),
                    _ => order.is_le(),
                })
            }
        }
    }
}

const AND: u8 = b'&';
const OR: u8 = b'|';
const NOT: u8 = b'!';

/// A filter that is being read.
struct Writing {
    out: Vec<u8>,
    nodes: usize,
}

impl Writing {
    fn node<'b, S: NodeValue<'b>>(&mut self, node: S, depth: usize) -> Result<(), FilterFault> {
        self.nodes += 1;
        if depth == 0 || self.nodes > TagFilter::NODES_MAX {
            return Err(FilterFault::TooLarge);
        }
        let asked = node.record(filter_node::ALL).map_err(malformed)?;
        let op = asked.text(filter_node::OP).map_err(malformed)?;
        let (kind, count_max) = match &*op {
            "" => return self.comparison(node, &asked),
            "and" => (AND, usize::MAX),
            "or" => (OR, usize::MAX),
            "not" => (NOT, 1),
            _ => return Err(FilterFault::Malformed),
        };
        let start = self.out.len();
        self.out.extend([kind, 0]);
        let mut count = 0;
        node.each(&asked, filter_node::NODES, &mut |child| {
            count += 1;
            self.node(child, depth - 1)
        })?;
        if !(1..=count_max).contains(&count) {
            return Err(FilterFault::Malformed);
        }
        // There are fewer nodes than 256.
        self.out[start + 1] = count as u8;
        Ok(())
    }

    fn comparison<'b, S: NodeValue<'b>>(
        &mut self,
        node: S,
        asked: &Record<S>,
    ) -> Result<(), FilterFault> {
        let name = asked.text(filter_node::COMPARISON).map_err(malformed)?;
        let at = COMPARISONS.iter().position(|(known, _)| *known == name);
        let at = at.ok_or(FilterFault::Malformed)?;
        let operands = COMPARISONS[at].1.operands();
        let key = asked.text(filter_node::KEY).map_err(malformed)?;
        let text = asked.text(filter_node::VALUE).map_err(malformed)?;
        if key.is_empty() && operands != Operands::None
            || text.is_empty() != (operands != Operands::One)
        {
            return Err(FilterFault::Malformed);
        }
        self.out.push(at as u8);
        self.text(&key)?;
        let count_at = self.out.len();
        self.out.extend([0, 0]);
        let mut count = 0_u16;
        if operands == Operands::One {
            (count, _) = (1, self.text(&text)?);
        }
        node.each(asked, filter_node::VALUES, &mut |value| {
            if operands != Operands::Several {
                return Err(FilterFault::Malformed);
            }
            // Each takes two bytes at least, of fewer than 65536.
            count += 1;
            self.text(&value.text().ok_or(FilterFault::Malformed)?)
        })?;
        if operands == Operands::Several && count == 0 {
            return Err(FilterFault::Malformed);
        }
        self.out[count_at..count_at + 2].copy_from_slice(&count.to_le_bytes());
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), FilterFault> {
        if self.out.len() + 2 + text.len() > TagFilter::BYTES_MAX {
            return Err(FilterFault::TooLarge);
        }
        self.out.extend((text.len() as u16).to_le_bytes());
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

const _: () = assert!(TagFilter::NODES_MAX < 256 && TagFilter::BYTES_MAX < 1 << 16);

fn malformed(_wrong: Wrong) -> FilterFault {
    FilterFault::Malformed
}

/// A value that may be a filter, or a part of one.
pub(super) trait NodeValue<'b>: FieldValue<'b> {
    /// Each value of a field that may have several, of the message that this is.
    fn each(
        self,
        asked: &Record<Self>,
        field: Field,
        act: &mut dyn FnMut(Self) -> Result<(), FilterFault>,
    ) -> Result<(), FilterFault>;
}

impl<'b> NodeValue<'b> for Raw<'b> {
    fn each(
        self,
        asked: &Record<Raw<'b>>,
        field: Field,
        act: &mut dyn FnMut(Raw<'b>) -> Result<(), FilterFault>,
    ) -> Result<(), FilterFault> {
        let Some(list) = asked.get(field) else {
            return Ok(());
        };
        let mut tokens = Tokens::new(Value::Json(list));
        let Token::Array(mut rest) = tokens.head() else {
            return Err(FilterFault::Malformed);
        };
        while tokens.more(&mut rest) {
            match tokens.value() {
                Value::Json(raw) => act(raw)?,
                Value::Pack(_) | Value::Bytes(_) => return Err(FilterFault::Malformed),
            }
        }
        Ok(())
    }
}

impl<'b> NodeValue<'b> for Wire<'b> {
    fn each(
        self,
        _asked: &Record<Wire<'b>>,
        field: Field,
        act: &mut dyn FnMut(Wire<'b>) -> Result<(), FilterFault>,
    ) -> Result<(), FilterFault> {
        let Wire::Bytes(message) = self else {
            return Err(FilterFault::Malformed);
        };
        let mut reader = Reader::new(message);
        while !reader.is_empty() {
            let (tag, value) = reader.field().map_err(malformed)?;
            if tag == u64::from(field.tag) {
                act(value)?;
            }
        }
        Ok(())
    }
}

/// Whether what a part of a filter says still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Yes,
    /// It is passed over.
    No,
}

/// What is left of a filter as it is kept. `None`: it is none.
struct Kept<'k>(&'k [u8]);

impl<'k> Kept<'k> {
    fn take(&mut self, len: usize) -> Option<&'k [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn number(&mut self) -> Option<usize> {
        let bytes = self.take(2)?;
        Some(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    }

    fn text(&mut self) -> Option<&'k str> {
        let len = self.number()?;
        str::from_utf8(self.take(len)?).ok()
    }

    /// Passes over a node that is what may be kept.
    fn check(&mut self, depth: usize, nodes: &mut usize) -> Option<()> {
        *nodes += 1;
        if depth == 0 || *nodes > TagFilter::NODES_MAX {
            return None;
        }
        match self.byte()? {
            AND | OR => {
                let count = self.byte()?;
                (count > 0).then_some(())?;
                (0..count).try_for_each(|_| self.check(depth - 1, nodes))
            }
            NOT => {
                (self.byte()? == 1).then_some(())?;
                self.check(depth - 1, nodes)
            }
            at => {
                let (_, comparison) = COMPARISONS.get(usize::from(at))?;
                self.text()?;
                let count = self.number()?;
                let is_right = match comparison.operands() {
                    Operands::None => count == 0,
                    Operands::One => count == 1,
                    Operands::Several => count > 0,
                };
                is_right.then_some(())?;
                (0..count).try_for_each(|_| self.text().map(|_| ()))
            }
        }
    }

    /// Takes a node. What it says, if that counts.
    fn passes(&mut self, tags: &Tags<'_>, asked: Asked) -> Option<bool> {
        let kind = self.byte()?;
        match kind {
            AND | OR => {
                let count = self.byte()?;
                let (mut said, mut asked) = (kind == AND, asked);
                for _ in 0..count {
                    let passes = self.passes(tags, asked)?;
                    if asked == Asked::Yes && passes != (kind == AND) {
                        (said, asked) = (passes, Asked::No);
                    }
                }
                Some(said)
            }
            NOT => {
                self.byte()?;
                self.passes(tags, asked).map(|passes| !passes)
            }
            at => {
                let (_, comparison) = COMPARISONS.get(usize::from(at))?;
                let key = self.text()?;
                let count = self.number()?;
                let values = self.0;
                for _ in 0..count {
                    let len = self.number()?;
                    self.take(len)?;
                }
                let mut values = Kept(values);
                let values = (0..count).map_while(|_| values.text());
                Some(asked == Asked::Yes && comparison.holds(tags.get(key), values))
            }
        }
    }
}

/// A number in decimal, of any length up to [`Decimal::BYTES_MAX`].
struct Decimal<'t> {
    is_negative: bool,
    /// Without zeros in front.
    whole: &'t str,
    /// Without zeros at the end.
    part: &'t str,
}

impl<'t> Decimal<'t> {
    /// Longer texts are no numbers to the protocol's own servers.
    const BYTES_MAX: usize = 200;
    /// Nor are those with more digits behind the point.
    const PLACES_MAX: usize = 19;

    fn parse(text: &'t str) -> Option<Decimal<'t>> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, part) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let fits = text.len() <= Self::BYTES_MAX && part.len() <= Self::PLACES_MAX;
        if whole.is_empty() || !fits || !are_digits(whole) || !are_digits(part) {
            return None;
        }
        let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
        Some(Decimal {
            is_negative: text.starts_with('-') && !(whole.is_empty() && part.is_empty()),
            whole,
            part,
        })
    }

    fn order(&self, other: &Decimal<'_>) -> Ordering {
        let size = |number: &Decimal<'_>| number.whole.len();
        let order = size(self).cmp(&size(other));
        let order = order.then_with(|| (self.whole, self.part).cmp(&(other.whole, other.part)));
        match (self.is_negative, other.is_negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (true, true) => order.reverse(),
            (false, false) => order,
        }
    }
}

#[cfg(test)]
mod tests;

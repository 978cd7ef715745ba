//! The commands of one message, one after the other: lines of JSON, or Protobuf behind lengths.
//!
//! Invariant: nothing is collected, so a message costs no memory beside its own. After a command
//! that is none there are no more.

use super::command::{Instruction, instruction};
use super::protobuf::Reader;
use super::record::Record;
use super::schema::sent::command;
use crate::dialect::fields::Wrong;
use crate::dialect::rules::Rules;

/// Most commands of one message, so that its shard goes on to others: an SDK may subscribe to 4,096
/// channels at once, and some more commands. A client that sends more is disconnected.
pub const COMMANDS_MAX: usize = 4_096 + 128;

/// The commands of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands<'b> {
    rest: Encoded<'b>,
    rules: Rules,
    /// How many have come.
    count: usize,
    is_over: bool,
}

/// What is left of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoded<'b> {
    Lines(&'b str),
    Delimited(&'b [u8]),
    /// It is of the other kind.
    Wrong(Wrong),
}

/// What is wrong with a message: its client is disconnected, and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad request: {0}")]
pub struct BadCommand(&'static str);

impl<'b> Commands<'b> {
    pub(crate) fn new(message: Encoded<'b>, rules: &Rules) -> Commands<'b> {
        Commands {
            rest: message,
            rules: *rules,
            count: 0,
            is_over: false,
        }
    }

    /// What has not come yet, as it was sent.
    pub fn rest(&self) -> &'b [u8] {
        match self.rest {
            Encoded::Lines(text) => text.as_bytes(),
            Encoded::Delimited(bytes) => bytes,
            Encoded::Wrong(_) => &[],
        }
    }

    /// The next, or that the message has ended where it may.
    fn take(&mut self) -> Result<Option<Instruction<'b>>, Wrong> {
        match &mut self.rest {
            Encoded::Wrong(wrong) => Err(wrong),
            Encoded::Lines(text) => {
                let Some(line) = next_line(text) else {
                    return Ok(None);
                };
                let record = Record::of_line(line, self.rules.outer(), command::ALL)?;
                instruction(&record, &self.rules).map(Some)
            }
            Encoded::Delimited([]) => Ok(None),
            Encoded::Delimited(bytes) => {
                let mut reader = Reader::new(bytes);
                let one = reader.delimited()?;
                *bytes = reader.rest();
                let record = Record::of_bytes(one, command::ALL)?;
                instruction(&record, &self.rules).map(Some)
            }
        }
    }
}

/// Takes a line that is not empty.
fn next_line<'b>(text: &mut &'b str) -> Option<&'b str> {
    loop {
        if text.is_empty() {
            return None;
        }
        let (line, rest) = match memchr::memchr(b'\n', text.as_bytes()) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (*text, ""),
        };
        *text = rest;
        if !line.trim_ascii().is_empty() {
            return Some(line);
        }
    }
}

impl<'b> Iterator for Commands<'b> {
    type Item = Result<Instruction<'b>, BadCommand>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let taken = match self.take() {
            Ok(Some(_)) if self.count == COMMANDS_MAX => Err("too many commands in one message"),
            Ok(None) if self.count == 0 => Err("there is no command in the message"),
            taken => taken,
        };
        self.count += 1;
        self.is_over = !matches!(taken, Ok(Some(_)));
        taken.map_err(BadCommand).transpose()
    }
}

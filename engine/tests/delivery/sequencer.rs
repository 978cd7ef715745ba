//! What orders rooms from outside in some runs: it gives the places of one sequence to all of them,
//! so the offsets of each skip, has everything that it gave a place, and loses some on the way.

use crate::application::{class_of, room_name, room_number};
use crate::run::ROOMS;
use crate::truth::{MessageId, Truth};
use shardcast_engine::driver::sim::Random;
use shardcast_engine::{
    Content, Data, GivenPlace, Handle, LogStep, Position, Publication, PublicationKind, Publish,
    Publisher, Refused, Repeat, Report, SequencerReader, Target, ToSequence, Topic, TopicName,
    Unsequenced,
};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

pub(crate) struct SkippingSequencer {
    reader: SequencerReader,
    rooms: Vec<SequencedRoom>,
    /// The newest place of all.
    sequence: u64,
    /// In this order, one after the other.
    todo: VecDeque<SequencedTodo>,
    /// Of a thousand, so many are lost on their way to the home.
    lost_permille: usize,
}

#[derive(Default)]
struct SequencedRoom {
    entries: Vec<SequencedEntry>,
    keys: HashMap<String, Position>,
}

struct SequencedEntry {
    place: GivenPlace,
    publish: Publish,
}

enum SequencedTodo {
    Publish(usize, usize),
    Step(usize, LogStep),
    Answer(Publisher, Report),
}

impl SkippingSequencer {
    pub(crate) fn new(reader: SequencerReader, random: &mut Random) -> SkippingSequencer {
        SkippingSequencer {
            reader,
            rooms: (0..ROOMS).map(|_| SequencedRoom::default()).collect(),
            sequence: 0,
            todo: VecDeque::new(),
            lost_permille: random.pick(&[0, 0, 50]),
        }
    }

    /// Does something, if there is something to do.
    pub(crate) fn act(&mut self, handle: &Handle, random: &mut Random, truth: &mut Truth) -> bool {
        let mut acts = false;
        while let Some(asked) = self.reader.try_recv() {
            acts = true;
            match asked {
                ToSequence::Publication(publication) => self.place(publication, random, truth),
                ToSequence::Log { topic, has, .. } => self.load(number_of(&topic), has),
            }
        }
        for _ in 0..random.between(1, 20) {
            let Some(todo) = self.todo.pop_front() else {
                return acts;
            };
            match self.perform(handle, todo) {
                Ok(()) => acts = true,
                Err(todo) => {
                    self.todo.push_front(todo);
                    return acts;
                }
            }
        }
        acts
    }

    /// What was lost last is missed by nobody until something follows: it is looked at once more.
    pub(crate) fn look_again(&mut self) {
        self.lost_permille = 0;
        for room in 0..ROOMS {
            if let Some(newest) = self.rooms[room].entries.len().checked_sub(1) {
                self.todo.push_back(SequencedTodo::Publish(room, newest));
            }
        }
    }

    fn place(&mut self, unsequenced: Unsequenced, random: &mut Random, truth: &mut Truth) {
        let number = number_of(&unsequenced.topic);
        let room = &mut self.rooms[number];
        let (key, conflate) = unsequenced.keys();
        let known = key.and_then(|key| room.keys.get(key)).copied();
        let epoch = epoch_of(number);
        let position = known.unwrap_or_else(|| {
            // Others take places, too.
            self.sequence += random.between(1, 4) as u64;
            Position {
                epoch,
                offset: self.sequence,
            }
        });
        if known.is_none() {
            let publication = unsequenced.publication().expect("data was published");
            let message_id = id_of(&publication);
            truth.give((number, epoch, position.offset), message_id);
            let mut publish =
                Publish::new(Content::data(&publication, None)).keep(class_of(number));
            if let Some(key) = key {
                publish = publish.key(key);
                room.keys.insert(key.to_owned(), position);
            }
            if let Some(conflate) = conflate {
                publish = publish.conflate(conflate);
            }
            if let Some(except) = unsequenced.except {
                publish = publish.except(except);
            }
            let place = GivenPlace {
                epoch,
                offset: position.offset,
                previous: room.newest(),
                age: Duration::ZERO,
            };
            room.entries.push(SequencedEntry { place, publish });
            if !random.chance(self.lost_permille) {
                let index = room.entries.len() - 1;
                self.todo.push_back(SequencedTodo::Publish(number, index));
            }
        }
        if let Some(publisher) = unsequenced.publisher {
            let report = Report {
                position: Some(position),
                repeat: match known {
                    Some(_) => Repeat::Duplicate,
                    None => Repeat::First,
                },
                ..Report::default()
            };
            self.todo
                .push_back(SequencedTodo::Answer(publisher, report));
        }
    }

    /// The room's home has its log again.
    fn load(&mut self, number: usize, has: Option<Position>) {
        let room = &self.rooms[number];
        let first = match has {
            Some(has) => {
                let entries = room.entries.iter();
                entries
                    .take_while(|entry| entry.place.offset <= has.offset)
                    .count()
            }
            None => {
                let epoch = epoch_of(number);
                let begin = LogStep::Begin { epoch, next: 1 };
                self.todo.push_back(SequencedTodo::Step(number, begin));
                0
            }
        };
        let all = (first..room.entries.len()).map(|index| SequencedTodo::Publish(number, index));
        self.todo.extend(all);
        self.todo
            .push_back(SequencedTodo::Step(number, LogStep::Ready));
    }

    fn perform(&self, handle: &Handle, todo: SequencedTodo) -> Result<(), SequencedTodo> {
        let (sent, again) = match todo {
            SequencedTodo::Publish(room, index) => {
                let SequencedEntry { place, publish } = &self.rooms[room].entries[index];
                let name = room_name(room);
                let target = Target::Room(&name);
                let sent = handle.publish_sequenced(target, publish.clone(), *place);
                (sent, todo)
            }
            SequencedTodo::Step(room, step) => {
                (handle.step_log(Topic::Room(&room_name(room)), step), todo)
            }
            SequencedTodo::Answer(publisher, report) => {
                match handle.answer_publisher(publisher, report) {
                    Ok(()) => return Ok(()),
                    Err((refused, publisher)) => {
                        (Err(refused), SequencedTodo::Answer(publisher, report))
                    }
                }
            }
        };
        match sent {
            Ok(()) => Ok(()),
            Err(Refused::Busy) => Err(again),
            Err(other) => panic!("{other:?}"),
        }
    }
}

impl SequencedRoom {
    fn newest(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.place.offset)
    }
}

fn epoch_of(room: usize) -> u64 {
    7 + room as u64
}

fn number_of(topic: &TopicName) -> usize {
    match topic {
        TopicName::Room(room) => room_number(room),
        TopicName::User(_) => panic!("users are ordered at home"),
    }
}

fn id_of(publication: &Publication<'_>) -> MessageId {
    let (Data::Text(text), PublicationKind::Message { .. }) = (publication.data, publication.kind)
    else {
        panic!("a message was published");
    };
    let mut words = text.split(' ').map(|word| word.parse().expect("a number"));
    let mut next = || words.next().expect("two numbers");
    MessageId {
        from: next(),
        number: next(),
    }
}
